/**
 * A command in mount, network and process namespaces of its own: whatever it mounts, routes, filters or starts is gone with it, also
 * when it is killed. What namespaces do not hold, the cgroups and the folder on the disk, is removed here, before and after.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folderPrefix = 'kafscale-node-';
/** Below every cgroup controller; the kubelet puts pods there. */
export const cgroupName = 'kafscale-node';
const cgroupRoot = '/sys/fs/cgroup';

/** Resolves with the exit code of the command, which finds its folder in `KAFSCALE_NODE_FOLDER`. */
export async function runInOwnNamespaces(command: readonly string[]): Promise<number> {
  await removeLeftBehind();
  const folder = join(tmpdir(), `${folderPrefix}${process.pid}`);
  await mkdir(folder, { recursive: true });
  const namespaces = ['--mount', '--net', '--pid', '--ipc', '--uts', '--fork', '--mount-proc', '--propagation=private'];
  // A shell is the first process there, for it waits for children that are not its own.
  const shell = ['bash', '-c', '"$@"; exit $?', 'first-process', ...command];
  const unshare = ['unshare', ...namespaces, '--kill-child=KILL', ...shell];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare], {
    stdio: 'inherit',
    env: { ...process.env, KAFSCALE_NODE_FOLDER: folder, TMPDIR: folder },
  });
  const stop = (): void => void child.kill('SIGKILL');
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? 1));
    });
  } finally {
    for (const signal of signals) process.off(signal, stop);
    await rm(folder, { recursive: true, force: true });
    await removeCgroups();
  }
}

/** Makes the cgroup that the kubelet wants to find. */
export async function makeCgroups(): Promise<void> {
  for (const controller of await readdir(cgroupRoot)) {
    await mkdir(join(cgroupRoot, controller, cgroupName), { recursive: true });
  }
}

/** Of a run that was killed: its folder, and cgroups when nobody else uses them. */
async function removeLeftBehind(): Promise<void> {
  let inUse = false;
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(folderPrefix)) continue;
    if (existsSync(`/proc/${name.slice(folderPrefix.length)}`)) inUse = true;
    else await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  if (inUse) throw new Error('another cluster of this kind runs on this machine; wait for its end or stop it');
  await removeCgroups();
}

async function removeCgroups(): Promise<void> {
  for (const controller of await readdir(cgroupRoot).catch(() => [])) {
    await removeCgroup(join(cgroupRoot, controller, cgroupName));
  }
}

/** A cgroup goes when it has no children and no process; its files are the kernel's. */
async function removeCgroup(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(folder, entry.name));
  }
  await rmdir(folder).catch(() => undefined); // a process that is being killed holds it: the next run removes it
}
