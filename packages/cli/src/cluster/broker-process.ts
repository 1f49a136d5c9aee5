/** One broker of a local cluster: `kafscale broker` in a process of its own. */
import { ChildServer } from '@kafscale/runtime';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface BrokerProcessSettings {
  readonly brokerId: number;
  readonly port: number;
  readonly metricsPort: number;
  /** Its log goes there. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

const host = '127.0.0.1';
const command = fileURLToPath(new URL('../../bin/kafscale.js', import.meta.url));

/** Resolves when it serves. Rejects with the end of its log when it does not start. */
export function startBrokerProcess({
  brokerId,
  port,
  metricsPort,
  folder,
  env,
}: BrokerProcessSettings): Promise<ChildServer> {
  return ChildServer.start({
    name: `Broker ${brokerId}`,
    program: process.execPath,
    args: [command, 'broker'],
    env: {
      ...env,
      KAFSCALE_BROKER_ID: String(brokerId),
      KAFSCALE_BROKER_ADDR: `${host}:${port}`,
      KAFSCALE_BROKER_HOST: host,
      KAFSCALE_METRICS_ADDR: `${host}:${metricsPort}`,
      // The line that says that it is ready is one of these.
      KAFSCALE_LOG_LEVEL: 'info',
      KAFSCALE_LOG_FORMAT: 'json',
    },
    logFile: join(folder, `broker-${brokerId}.log`),
    ready: /"msg":"ready"/,
    ownGroup: true,
  });
}
