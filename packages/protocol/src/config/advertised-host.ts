/**
 * Where clients are told to connect when nobody says it: in a pod its own address, or the name that Kubernetes' DNS gives every
 * endpoint of a headless service, so that a wildcard certificate covers all brokers.
 */
import type { BrokerConfig } from './broker-config.ts';

type Place = Partial<Pick<BrokerConfig, 'advertisedHost' | 'podIp' | 'podService' | 'podNamespace'>>;

/** `localhost` outside of a pod. */
export function advertisedHostOf({ advertisedHost, podIp, podService, podNamespace }: Place): string {
  if (advertisedHost !== undefined) return advertisedHost;
  if (podIp === undefined) return 'localhost';
  if (podService === undefined || podNamespace === undefined) return podIp;
  return `${podIp.replaceAll(/[.:]/g, '-')}.${podService}.${podNamespace}.svc`;
}
