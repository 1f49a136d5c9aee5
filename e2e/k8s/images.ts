/**
 * The images of the tests, like those of our Dockerfiles but put together from what is built on this machine, since no registry of
 * images is reached: the programs with the libraries they load, no shell but in `tools`, as a user without rights.
 */
import { existsSync, readFileSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { createHash } from 'node:crypto';
import {
  buildEtcd,
  buildMinio,
  findProgram,
  newestEtcdVersion,
  preparedFolder,
  repositoryFolder,
  runProgram,
} from '@kafscale/testkit';
import { layerOf, writeImages, type Image, type Layer } from './oci-image.ts';

/** Of nobody in particular; the same in every image and in what our chart asks for. */
const userId = 65532;
const place = 'kafscale.test';

export const images = {
  /** What holds the namespaces of a pod. */
  pause: `${place}/pause:1`,
  /** busybox, for tests that ask from inside a pod. */
  tools: `${place}/tools:1`,
  /** The broker, the operator and every other command. */
  kafscale: `${place}/kafscale:e2e`,
  /** The same under another name, for upgrades. */
  kafscaleNext: `${place}/kafscale:e2e-next`,
  etcd: `${place}/etcd:${newestEtcdVersion}`,
  minio: `${place}/minio:e2e`,
} as const;

/** The path of an archive with all images, in `folder`; what `make build` made goes in as it is now. */
export async function buildImages(folder: string): Promise<string> {
  const user = `${userId}:${userId}`;
  const etcdFolder = await buildEtcd(newestEtcdVersion);
  // What restores a snapshot runs before etcd, in our own image.
  const etcdutl = await programsLayer('etcdutl', [join(etcdFolder, 'etcdutl')]);
  const kafscale: Contents = {
    layers: [await systemLayer(), etcdutl, await applicationLayer(join(folder, 'application'))],
    settings: {
      user,
      entrypoint: ['/usr/bin/node', '/kafscale/packages/cli/bin/kafscale.js'],
      command: ['broker'],
      env: { NODE_ENV: 'production', PATH: '/usr/bin:/usr/local/bin', ...mallocSettings },
      workingFolder: '/kafscale',
    },
  };
  const busybox = await programsLayer('busybox', [busyboxProgram()], ['sh', 'sleep', 'nc', 'wget', 'cat', 'ls']);
  const busyboxEnv = { PATH: '/usr/local/bin' };
  const etcdPrograms = ['etcd', 'etcdctl', 'etcdutl'].map((name) => join(etcdFolder, name));
  const contents: Record<keyof typeof images, Contents> = {
    pause: { layers: [busybox], settings: { user, entrypoint: ['sleep', '2147483647'], env: busyboxEnv } },
    tools: { layers: [busybox], settings: { user, entrypoint: ['sh'], env: busyboxEnv } },
    kafscale,
    kafscaleNext: {
      ...kafscale,
      settings: { ...kafscale.settings, env: { ...kafscale.settings.env, KAFSCALE_E2E: 'next' } },
    },
    etcd: {
      layers: [await programsLayer('etcd', etcdPrograms)],
      settings: { user, entrypoint: ['etcd'], env: { PATH: '/usr/local/bin' } },
    },
    minio: {
      layers: [await programsLayer('minio', [await buildMinio()])],
      settings: {
        user,
        entrypoint: ['minio'],
        command: ['server', '/data'],
        env: { PATH: '/usr/local/bin', HOME: '/tmp' },
      },
    },
  };
  const archive = join(folder, 'images.tar');
  const named = Object.entries(contents).map(([key, content]) => ({
    name: images[key as keyof typeof images],
    ...content,
  }));
  await writeImages(archive, named);
  return archive;
}

type Contents = Omit<Image, 'name'>;

/** As in our Dockerfile: buffers of megabytes come and go. */
const mallocSettings = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '1048576',
  MALLOC_TRIM_THRESHOLD_: '67108864',
  MALLOC_TOP_PAD_: '16777216',
  NODE_OPTIONS: '--max-semi-space-size=4',
};

/** Node with its libraries and the packages of others that our commands need: made anew only when one of them changes. */
async function systemLayer(): Promise<Layer> {
  const repository = repositoryFolder();
  const lockfile = readFileSync(join(repository, 'package-lock.json'), 'utf8');
  const recipe = `${layoutVersion} ${process.version} ${createHash('sha256').update(lockfile).digest('hex')}`;
  return cachedLayer('image-system', recipe, async (root) => {
    await copyProgram(process.execPath, root, 'usr/bin/node');
    await writeAccounts(root);
    const listed = await runProgram('npm', ['ls', '--omit=dev', '--workspace=packages/cli', '--all', '--parseable'], {
      cwd: repository,
    });
    const folders = listed.split('\n').filter((line) => line.includes('/node_modules/') && !ours.test(line));
    for (const from of folders.filter((path) => existsSync(path) && !path.includes('/@types/'))) {
      const to = join(root, 'kafscale', relative(repository, from));
      await cp(from, to, { recursive: true, filter: (path) => !/\.(map|d\.[cm]?ts)$/.test(path) });
      for (const addon of await nativeAddons(to)) await copyLibraries(addon, root);
    }
  });
}

/** Parts of packages that the loader of the system loads; those for another C library are not for this image. */
async function nativeAddons(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true });
  return files.filter((name) => name.endsWith('.node') && !name.includes('musl')).map((name) => join(folder, name));
}

const ours = /\/node_modules\/@kafscale\//;
/** Raised when the same inputs shall become another layer. */
const layoutVersion = '2';

/** What `make build` made of our packages, without their tests. */
async function applicationLayer(folder: string): Promise<Layer> {
  const repository = repositoryFolder();
  const root = join(folder, 'root');
  const home = join(root, 'kafscale');
  for (const name of ['protocol', 'runtime', 'broker', 'operator', 'cli']) {
    for (const part of ['dist', 'bin', 'package.json']) {
      const from = join(repository, 'packages', name, part);
      const filter = (path: string): boolean => !/\.(map|d\.ts|tsbuildinfo)$|\.(test|model|contract)\.js$/.test(path);
      if (existsSync(from)) await cp(from, join(home, 'packages', name, part), { recursive: true, filter });
    }
    await mkdir(join(home, 'node_modules/@kafscale'), { recursive: true });
    await symlink(`../../packages/${name}`, join(home, 'node_modules/@kafscale', name));
  }
  await cp(join(repository, 'proto'), join(home, 'proto'), { recursive: true });
  await copyFile(join(repository, 'package.json'), join(home, 'package.json'));
  return layerOf(root, join(folder, 'layer.tar'));
}

/** Programs that need no library, in /usr/local/bin; `links` are further names of the first. */
function programsLayer(name: string, programs: readonly string[], links: readonly string[] = []): Promise<Layer> {
  return cachedLayer(`image-${name}`, JSON.stringify([layoutVersion, programs, links]), async (root) => {
    const target = join(root, 'usr/local/bin');
    await mkdir(target, { recursive: true });
    for (const program of programs) await copyFile(program, join(target, basename(program)));
    for (const link of links) await symlink(basename(programs[0]!), join(target, link));
    await writeAccounts(root);
  });
}

/** A layer kept in the cache folder for as long as its recipe is the same. */
async function cachedLayer(name: string, recipe: string, fill: (root: string) => Promise<void>): Promise<Layer> {
  const folder = await preparedFolder(name, recipe, async (unfinished) => {
    const root = join(unfinished, 'root');
    await mkdir(root);
    await fill(root);
    const { digest } = await layerOf(root, join(unfinished, 'layer.tar'));
    await writeFile(join(unfinished, 'digest'), digest);
    await runProgram('rm', ['-rf', root]);
  });
  return { file: join(folder, 'layer.tar'), digest: readFileSync(join(folder, 'digest'), 'utf8') };
}

/** A program and every library that the loader says it needs, where the loader looks for them. */
async function copyProgram(program: string, root: string, to: string): Promise<void> {
  await mkdir(join(root, dirname(to)), { recursive: true });
  await copyFile(program, join(root, to));
  await copyLibraries(program, root);
}

async function copyLibraries(program: string, root: string): Promise<void> {
  const libraries = (await runProgram('ldd', [program])).matchAll(/(?:=> |^\s*)(\/\S+)/gm);
  for (const [, library] of libraries) {
    const target = join(root, library!);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(library!, target);
  }
}

/** Names for the users, a place for temporary files, and whom TLS trusts. */
async function writeAccounts(root: string): Promise<void> {
  await mkdir(join(root, 'etc/ssl/certs'), { recursive: true });
  await mkdir(join(root, 'tmp'), { recursive: true });
  await chmod(join(root, 'tmp'), 0o1777);
  await writeFile(join(root, 'etc/passwd'), `root:x:0:0::/:/none\nkafscale:x:${userId}:${userId}::/tmp:/none\n`);
  await writeFile(join(root, 'etc/group'), `root:x:0:\nkafscale:x:${userId}:\n`);
  const authorities = '/etc/ssl/certs/ca-certificates.crt';
  if (existsSync(authorities)) await copyFile(authorities, join(root, authorities));
}

function busyboxProgram(): string {
  const program = findProgram('busybox');
  if (program === undefined) throw new Error('busybox is not installed: apt-get install busybox-static');
  return program;
}
