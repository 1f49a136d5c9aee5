/**
 * The broker that an e2e suite runs against: ours, or with `KAFSCALE_E2E_BROKER=kafka` Apache Kafka itself, which proves that a
 * suite asks for what Kafka does and for nothing else.
 */
import { KafkaServer, KafScaleServer } from '@kafscale/testkit';

export interface BrokerUnderTest {
  readonly bootstrap: string;
  readonly port: number;
  /** `kill -9`. */
  kill(): Promise<void>;
  /** Starts it again after `kill`: same port, same data. */
  restart(): Promise<void>;
  /** Ends it and removes its data. */
  close(): Promise<void>;
}

export const isApacheKafka = process.env['KAFSCALE_E2E_BROKER'] === 'kafka';

export async function startBrokerUnderTest(): Promise<BrokerUnderTest> {
  return isApacheKafka ? KafkaServer.start() : KafScaleServer.start();
}
