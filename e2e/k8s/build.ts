/** What a Kubernetes on this machine needs: programs from Go modules, kept in the cache folder, and Debian's packages for a node. */
import { existsSync } from 'node:fs';
import {
  buildEtcd,
  buildMinio,
  controllerBinaries,
  coreDnsBinary,
  findProgram,
  helmBinary,
  kubeBinaries,
  newestEtcdVersion,
  nodeBinaries,
  ProgramError,
  runProgram,
} from '@kafscale/testkit';

/** In the order in which somebody waits for them. */
const programs = {
  'the API server and kubectl': kubeBinaries,
  etcd: () => buildEtcd(newestEtcdVersion),
  'controllers and scheduler': controllerBinaries,
  helm: helmBinary,
  'kubelet and kube-proxy': nodeBinaries,
  CoreDNS: coreDnsBinary,
  MinIO: () => buildMinio(),
};

/** Told only what was not there already. */
const worthTellingMs = 2_000;

export async function buildEverything(progress: (text: string) => void): Promise<void> {
  for (const [what, build] of Object.entries(programs)) {
    const startedMs = performance.now();
    await build();
    if (performance.now() - startedMs > worthTellingMs) progress(`built ${what}`);
  }
}

/** Program by Debian's package that has it. */
const debianPackages = {
  containerd: 'containerd',
  runc: 'runc',
  iptables: 'iptables',
  conntrack: 'conntrack',
  ethtool: 'ethtool',
  socat: 'socat',
  ip: 'iproute2',
  busybox: 'busybox-static',
  '/usr/lib/cni/ptp': 'containernetworking-plugins',
};

/** Installs what a node needs and this machine lacks. Throws ProgramError that says what to do when that is not ours to do. */
export async function installPackages(): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new ProgramError(
      'pods run only on Linux as root: set KUBECONFIG to a cluster of yours, or run `make e2e-operator`, which needs no rights',
    );
  }
  const isThere = (program: string): boolean => existsSync(program) || findProgram(program) !== undefined;
  const missing = Object.entries(debianPackages).filter(([program]) => !isThere(program));
  if (missing.length === 0) return;
  const names = missing.map(([, name]) => name);
  if (findProgram('apt-get') === undefined) throw new ProgramError(`install ${names.join(', ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await runProgram('apt-get', ['update', '--quiet'], { env }).catch(() => undefined); // an old list may still do
  await runProgram('apt-get', ['install', '--yes', '--no-install-recommends', ...names], { env });
}
