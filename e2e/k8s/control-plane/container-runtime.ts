/** containerd with runc, configured for a root without CAP_SYS_RESOURCE, and a network of routed pairs without a bridge. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ChildServer, runProgram } from '@kafscale/testkit';
import { images } from '../images.ts';
import { podRange } from './addresses.ts';
import { runFolder } from './node-machine.ts';

export const containerdSocket = join(runFolder, 'containerd.sock');

export async function startContainerd(folder: string): Promise<ChildServer> {
  const cni = join(folder, 'cni');
  await mkdir(cni, { recursive: true });
  await writeFile(join(cni, '10-pods.conflist'), JSON.stringify(podNetwork, undefined, 2));
  const configFile = join(folder, 'containerd.toml');
  await writeFile(configFile, configuration(folder, cni));
  return ChildServer.start({
    name: 'containerd',
    program: 'containerd',
    args: ['--config', configFile],
    logFile: join(folder, 'containerd.log'),
    ready: /containerd successfully booted/,
  });
}

/** Into the namespace where the kubelet looks. */
export async function importImages(archive: string): Promise<void> {
  await runProgram('ctr', ['--address', containerdSocket, '--namespace', 'k8s.io', 'images', 'import', archive]);
}

/** Routed, so that answers between pods of one node pass where the addresses of Services are translated. */
const podNetwork = {
  cniVersion: '0.4.0',
  name: 'pods',
  plugins: [
    {
      type: 'ptp',
      ipMasq: false,
      ipam: {
        type: 'host-local',
        dataDir: join(runFolder, 'pod-addresses'),
        ranges: [[{ subnet: podRange }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
};

const configuration = (folder: string, cni: string): string => `
version = 2
root = "${join(folder, 'containerd')}"
state = "${join(runFolder, 'containerd')}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
oom_score = 0

[grpc]
  address = "${containerdSocket}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${images.pause}"
  # Lowering it takes CAP_SYS_RESOURCE; without this no pod starts where root lacks it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${cni}"
`;
