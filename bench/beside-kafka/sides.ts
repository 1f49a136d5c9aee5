/** The two brokers that are measured, behind one interface: each as its users start it, in an empty folder on the same disk. */
import { KafkaServer, KafScaleServer, type ChildServer } from '@kafscale/testkit';

export interface MeasuredBroker {
  readonly bootstrap: string;
  readonly port: number;
  readonly process: ChildServer;
  close(): Promise<void>;
}

export interface Side {
  readonly name: 'Apache Kafka' | 'KafScale';
  start(): Promise<MeasuredBroker>;
}

export const sides: readonly Side[] = [
  { name: 'Apache Kafka', start: () => KafkaServer.start() },
  { name: 'KafScale', start: () => KafScaleServer.start() },
];
