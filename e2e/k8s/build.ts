/** Builds what a real Kubernetes on this machine needs, the API server first; done already, it ends at once. */
import { setPriority } from 'node:os';
import {
  buildEtcd,
  buildMinio,
  controllerBinaries,
  coreDnsBinary,
  helmBinary,
  kubeBinaries,
  metricsServerBinary,
  newestEtcdVersion,
  nodeBinaries,
} from '@kafscale/testkit';

const lowestPriority = 19;
setPriority(lowestPriority);

const steps = {
  'API server and kubectl': kubeBinaries,
  etcd: () => buildEtcd(newestEtcdVersion),
  helm: helmBinary,
  'controllers and scheduler': controllerBinaries,
  'kubelet and kube-proxy': nodeBinaries,
  CoreDNS: coreDnsBinary,
  MinIO: () => buildMinio(),
  'metrics-server': metricsServerBinary,
};

for (const [what, build] of Object.entries(steps)) {
  const startedMs = performance.now();
  await build();
  console.log(`ok      ${what}: ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
}
