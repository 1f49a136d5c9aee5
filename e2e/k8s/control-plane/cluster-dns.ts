/** CoreDNS beside the API server, behind the Service where pods look for DNS. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChildServer, coreDnsBinary, type ControlPlane } from '@kafscale/testkit';
import { dnsServiceAddress, nodeAddress } from './addresses.ts';

const name = 'kube-dns';
const namespace = 'kube-system';
const port = 53;

export async function startDns(folder: string, { kubectl }: ControlPlane): Promise<ChildServer> {
  const configFile = join(folder, 'Corefile');
  await writeFile(configFile, configuration(kubectl.kubeconfig));
  const server = await ChildServer.start({
    name: 'CoreDNS',
    program: await coreDnsBinary(),
    args: ['-conf', configFile],
    logFile: join(folder, 'coredns.log'),
    ready: /CoreDNS-\d/,
  });
  await kubectl.apply([service, endpoints]);
  return server;
}

/** The same answers as in other clusters: `10-1-2-3.service.namespace.svc` for each address of a headless Service. */
const configuration = (kubeconfig: string): string => `
.:${port} {
  bind ${nodeAddress}
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${kubeconfig}
    pods insecure
    ttl 5
  }
}
`;

const ports = (['UDP', 'TCP'] as const).map((protocol) => ({ name: `dns-${protocol.toLowerCase()}`, port, protocol }));

const service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { clusterIP: dnsServiceAddress, ports },
};

/** Written by hand: the server is no pod, so that no selector finds it. */
const endpoints = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name, namespace, labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports,
  endpoints: [{ addresses: [nodeAddress], conditions: { ready: true } }],
};
