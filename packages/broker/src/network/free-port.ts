/** A port that nobody listens on, for a broker that has to tell it to others before it listens itself. */
import { createServer, type AddressInfo } from 'node:net';

/** Free at the moment of the answer; on `host`, or on every interface without one. Rejects with the system's error. */
export function findFreePort(host?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ port: 0, ...(host !== undefined && { host }) }, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
