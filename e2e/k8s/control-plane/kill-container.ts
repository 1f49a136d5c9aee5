/** kill -9 for what runs in a pod, as the kernel does it when memory runs out. Only on the cluster of this machine. */
import { readdir, readFile } from 'node:fs/promises';

/** Resolves when the broker or operator in the pod with this uid was sent SIGKILL. Rejects when there is none. */
export async function killContainer(podUid: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
    if (!(await read('cgroup')).includes(podUid) || !(await read('cmdline')).includes('kafscale.js')) continue;
    process.kill(Number(pid), 'SIGKILL');
    return;
  }
  throw new Error(`no process of the pod ${podUid} runs here`);
}
