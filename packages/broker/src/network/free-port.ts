/** A port for a broker that has to name its address before it listens. */
import { createServer, type AddressInfo } from 'node:net';

/** A TCP port that nobody listens on now. Rejects with the system's error when the host cannot be bound. */
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
