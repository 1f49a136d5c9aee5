/** What a setting belongs to, as the protocol numbers it, and the checks that all requests about settings share. */
import { ErrorCode, KafkaError } from '@kafscale/protocol';
import type { BrokerConfigs } from '../config/dynamic-config.ts';

export const ConfigResourceType = {
  TOPIC: 2,
  BROKER: 4,
  BROKER_LOGGER: 8,
  CLIENT_METRICS: 16,
  GROUP: 32,
} as const;

/** A resource's type and name, as two requests for one resource share them. */
export const resourceKey = (resourceType: number, resourceName: string): string => `${resourceType} ${resourceName}`;

export const unknownResourceType = (resourceType: number): KafkaError =>
  new KafkaError(ErrorCode.INVALID_REQUEST, `Unknown resource type ${resourceType}`);

/** Throws INVALID_REQUEST unless the name is this broker's id, or empty where that means all brokers. */
export function checkBrokerName(
  name: string,
  { brokerId }: BrokerConfigs,
  { emptyAllowed }: { emptyAllowed: boolean },
): void {
  if (name === '' && emptyAllowed) return;
  if (!/^-?\d{1,10}$/.test(name)) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST, `Broker id must be an integer, but it is: ${name}`);
  }
  if (Number(name) === brokerId) return;
  const expected = emptyAllowed ? `${brokerId} or empty string` : String(brokerId);
  throw new KafkaError(ErrorCode.INVALID_REQUEST, `Unexpected broker id, expected ${expected}, but received ${name}`);
}
