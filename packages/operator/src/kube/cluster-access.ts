/**
 * Where the API server is and who we are to it: inside a pod from the mounted service account, elsewhere from a kubeconfig. The
 * library that understands kubeconfigs costs 76 MB, so it is loaded only when there is one to read.
 */
import type { Clock } from '@kafscale/runtime';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RequestOptions } from 'node:https';
import type { ConnectionOptions } from 'node:tls';

export interface ClusterAccess {
  /** `https://host:port`. */
  readonly server: string;
  /** Where the process itself lives. */
  readonly namespace: string;
  /** Over TLS both sides agree on a protocol; without it only `always` chooses HTTP/2. */
  readonly http2?: 'negotiate' | 'always' | 'never';
  /** For the next connection; asked anew each time, so that rotated certificates are found. */
  tls(): Promise<ConnectionOptions>;
  /** Headers that say who asks; `afresh` after the server did not believe the last ones. */
  headers(afresh: boolean): Promise<Readonly<Record<string, string>>>;
}

export const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The kubelet renews a token long before its end; asking the file each minute is early enough. */
const tokenFreshMs = 60_000;

interface InClusterSettings {
  /** `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`. */
  readonly host: string;
  readonly port: string;
  readonly clock: Clock;
  readonly folder?: string;
}

/** Access by the service account of the pod this process runs in. Throws when its files are missing. */
export async function inClusterAccess(settings: InClusterSettings): Promise<ClusterAccess> {
  const { host, port, clock, folder = serviceAccountFolder } = settings;
  const read = async (name: string): Promise<string> => (await readFile(join(folder, name), 'utf8')).trim();
  let token = await read('token');
  let readAtMs = clock.monotonicMs();
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: await read('namespace'),
    tls: async () => ({ ca: await read('ca.crt') }),
    async headers(afresh) {
      if (afresh || clock.monotonicMs() - readAtMs >= tokenFreshMs) {
        token = await read('token');
        readAtMs = clock.monotonicMs();
      }
      return { authorization: `Bearer ${token}` };
    },
  };
}

/** Access by a kubeconfig: its text, or the files that `KUBECONFIG` and the home folder name when no text is given. */
export async function kubeconfigAccess(text?: string): Promise<ClusterAccess> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (text === undefined) config.loadFromDefault();
  else config.loadFromString(text);
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new Error('the kubeconfig names no current cluster; set one with kubectl config use-context');
  const options = async () => {
    const request: RequestOptions = {};
    await config.applyToHTTPSOptions(request);
    return request;
  };
  return {
    server: cluster.server.replace(/\/+$/, ''),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async tls() {
      const { ca, cert, key, rejectUnauthorized, servername } = await options();
      return Object.fromEntries(
        Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(([, value]) => value !== undefined),
      );
    },
    async headers() {
      const { auth, headers = {} } = await options();
      const hasPassword = typeof auth === 'string';
      const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]);
      const basic = hasPassword ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
      return { ...basic, ...(Object.fromEntries(named) as Record<string, string>) };
    },
  };
}
