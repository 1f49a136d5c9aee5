/** Makes the namespaces of this process into what a node needs: mounts, kernel settings of its own, a network without a way out. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '@kafscale/testkit';
import { loadBalancerRange, nodeAddress, outsideAddress, outsideNamespace } from './addresses.ts';
import { makeCgroups } from './own-namespaces.ts';

/** Sockets and state that are short-lived; a file system of its own. */
export const runFolder = '/run/kafscale-node';

/** Settings of the whole machine that a kubelet would change: it gets copies to change. */
const kernelSettings = [
  ...['vm/overcommit_memory', 'vm/panic_on_oom', 'kernel/panic', 'kernel/panic_on_oops'],
  ...['kernel/keys/root_maxkeys', 'kernel/keys/root_maxbytes'],
];

/** Only in namespaces of its own: it mounts over /run and other folders. */
export async function makeNodeMachine(folder: string): Promise<void> {
  await mount('tmpfs', '/run');
  await mount('tmpfs', '/dev/shm'); // who tidies up there by process number must not see ours, nor we theirs
  await mount('tmpfs', '/var/lib/cni');
  await mkdir(runFolder, { recursive: true });
  await hideKernelSettings(join(folder, 'kernel'));
  await runProgram('mount', ['--make-rshared', '/']);
  await makeCgroups();
  await ip('link', 'set', 'lo', 'up');
  await ip('link', 'add', 'node0', 'type', 'bridge');
  await ip('addr', 'add', `${nodeAddress}/24`, 'dev', 'node0');
  await ip('link', 'set', 'node0', 'up');
  // Leads nowhere; but without a route the node itself would not even try an address of a Service.
  await ip('route', 'add', 'default', 'dev', 'node0');
  await writeFile('/proc/sys/net/ipv4/ip_forward', '1');
  await makeOutside();
}

/** A second machine on the node's network, for clients that are not in the cluster. */
async function makeOutside(): Promise<void> {
  const inside = ['-n', outsideNamespace];
  await ip('netns', 'add', outsideNamespace);
  await ip('link', 'add', 'outside0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outsideNamespace);
  await ip('link', 'set', 'outside0', 'master', 'node0', 'up');
  await ip(...inside, 'link', 'set', 'lo', 'up');
  await ip(...inside, 'addr', 'add', `${outsideAddress}/24`, 'dev', 'eth0');
  await ip(...inside, 'link', 'set', 'eth0', 'up');
  await ip(...inside, 'route', 'add', loadBalancerRange, 'via', nodeAddress);
}

async function hideKernelSettings(folder: string): Promise<void> {
  for (const setting of kernelSettings) {
    const real = join('/proc/sys', setting);
    const copy = join(folder, setting.replaceAll('/', '-'));
    await mkdir(folder, { recursive: true });
    await writeFile(copy, await readFile(real));
    await runProgram('mount', ['--bind', copy, real]);
  }
}

async function mount(type: string, where: string): Promise<void> {
  await mkdir(where, { recursive: true });
  await runProgram('mount', ['-t', type, type, where]);
}

const ip = (...args: readonly string[]): Promise<string> => runProgram('ip', args);
