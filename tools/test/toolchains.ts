/** The programs that suites need: found, or installed from Debian's packages where that is ours to do. */
import { findProgram, runProgram } from '@kafscale/testkit';

/** Debian's package for a program. Node and npm are there already, and Go is newer than Debian's. */
const debianPackages: Readonly<Record<string, string>> = {
  kcat: 'kcat',
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  openssl: 'openssl',
  mvn: 'maven',
  java: 'default-jdk-headless',
  javac: 'default-jdk-headless',
  jar: 'default-jdk-headless',
  python3: 'python3-pip',
  'mkfs.ext4': 'e2fsprogs',
  losetup: 'mount',
  mount: 'mount',
  promtool: 'prometheus',
};

export const isOnPath = (program: string): boolean => findProgram(program) !== undefined;

export const isRoot = (): boolean => process.getuid?.() === 0;

/** Installs what is missing and can be installed; answers what is missing still. */
export async function missingPrograms(programs: readonly string[]): Promise<string[]> {
  const missing = [...new Set(programs)].filter((program) => !isOnPath(program));
  const packages = [...new Set(missing.flatMap((program) => debianPackages[program] ?? []))];
  if (packages.length > 0 && isRoot() && isOnPath('apt-get')) {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const install = ['install', '--yes', '--no-install-recommends', ...packages];
    console.log(`installing ${packages.join(', ')}`);
    await runProgram('apt-get', ['update', '--quiet'], { env }).catch(() => undefined); // an old list may still do
    await runProgram('apt-get', install, { env }).catch((error: unknown) => console.log(String(error)));
    if (packages.includes('etcd-server')) await stopService('etcd');
    if (packages.includes('prometheus')) await stopService('prometheus');
  }
  return missing.filter((program) => !isOnPath(program));
}

/** Debian starts what it installs and would start it with the machine; tests start their own. */
async function stopService(name: string): Promise<void> {
  if (isOnPath('systemctl')) await runProgram('systemctl', ['disable', '--now', name]).catch(() => undefined);
}
