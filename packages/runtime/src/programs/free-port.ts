/**
 * TCP ports for servers under test. They lie below the range that the system gives to outgoing connections, so that a server which
 * is killed and started again on its port never finds it taken by somebody's client.
 */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const firstPort = 10_000;
const portsEnd = 32_000;
const attempts = 100;

const handedOut = new Set<number>();

/** A port that nobody listens on at this moment and that this process was not given before. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const port = randomInt(firstPort, portsEnd);
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    return port;
  }
  throw new Error(`${attempts} ports from ${firstPort} to ${portsEnd} were taken`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
