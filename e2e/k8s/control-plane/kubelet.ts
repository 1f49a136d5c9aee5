/** The kubelet, which runs pods, and kube-proxy, which makes addresses of Services out of rules. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChildServer, nodeBinaries, type ControlPlane } from '@kafscale/testkit';
import { dnsServiceAddress, nodeAddress, nodeName, podRange } from './addresses.ts';
import { containerdSocket } from './container-runtime.ts';
import { cgroupName } from './own-namespaces.ts';

const clusterDomain = 'cluster.local';
const readyTimeoutMs = 120_000;

/** Resolves when both run; the node is ready a little later. */
export async function startKubelet(folder: string, controlPlane: ControlPlane): Promise<readonly ChildServer[]> {
  const binaries = await nodeBinaries();
  const kubelet = ['--config', await kubeletConfiguration(folder, controlPlane), '--node-ip', nodeAddress];
  const user = { name: `system:node:${nodeName}`, group: 'system:nodes' };
  const proxyUser = { name: 'system:kube-proxy' };
  const root = join(folder, 'kubelet');
  await mkdir(root, { recursive: true });
  return Promise.all([
    ChildServer.start({
      name: 'kubelet',
      program: binaries.kubelet,
      args: [
        ...kubelet,
        ...['--hostname-override', nodeName, '--root-dir', root, '--cert-dir', join(root, 'pki')],
        ...['--kubeconfig', await controlPlane.kubeconfigFor(user)],
      ],
      logFile: join(folder, 'kubelet.log'),
      ready: /Started kubelet/,
      readyTimeoutMs,
    }),
    ChildServer.start({
      name: 'kube-proxy',
      program: binaries['kube-proxy'],
      args: ['--config', await proxyConfiguration(folder, await controlPlane.kubeconfigFor(proxyUser))],
      logFile: join(folder, 'kube-proxy.log'),
      ready: /Starting service config controller/,
      readyTimeoutMs,
    }),
  ]);
}

async function kubeletConfiguration(folder: string, { certificates }: ControlPlane): Promise<string> {
  const serving = await certificates.server('kubelet', { names: [nodeName], addresses: [nodeAddress] });
  const resolvConf = join(folder, 'resolv.conf');
  await writeFile(resolvConf, ''); // what the cluster's DNS does not know, nobody here knows
  return writeConfiguration(join(folder, 'kubelet.yaml'), {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: nodeAddress,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: certificates.authority.certFile },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: serving.certFile,
    tlsPrivateKeyFile: serving.keyFile,
    healthzPort: 0,
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroupName}`,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    // The disk and memory of this machine are others' too: no pod goes for want of them.
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    // Lowering the one and raising the other beyond this takes CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    maxOpenFiles: 20_000,
    clusterDNS: [dnsServiceAddress],
    clusterDomain,
    resolvConf,
    podLogsDir: join(folder, 'pod-logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    nodeStatusUpdateFrequency: '5s',
    syncFrequency: '10s',
    registryPullQPS: 0,
    eventRecordQPS: 0,
  });
}

/** What would set the machine's connection tracking stays off: the numbers are the kernel's own. */
function proxyConfiguration(folder: string, kubeconfig: string): Promise<string> {
  return writeConfiguration(join(folder, 'kube-proxy.yaml'), {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    bindAddress: nodeAddress,
    hostnameOverride: nodeName,
    clientConnection: { kubeconfig },
    mode: 'iptables',
    clusterCIDR: podRange,
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    oomScoreAdj: 0,
    iptables: { minSyncPeriod: '200ms' },
  });
}

async function writeConfiguration(file: string, configuration: object): Promise<string> {
  await writeFile(file, JSON.stringify(configuration, undefined, 2)); // JSON is YAML
  return file;
}
