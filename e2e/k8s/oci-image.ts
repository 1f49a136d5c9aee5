/**
 * Container images without a container engine: folders become layers, layers and a configuration become an OCI archive that containerd
 * imports. The same folders make the same bytes. What our images hold is images.ts's business.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '@kafscale/testkit';

/** How its containers run unless their pod says otherwise. */
export interface ImageSettings {
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingFolder?: string;
}

export interface Layer {
  /** An uncompressed tar file. */
  readonly file: string;
  /** sha256 of it, in hex. */
  readonly digest: string;
}

/** A layer of everything in `folder`, owned by root, without times. */
export async function layerOf(folder: string, file: string): Promise<Layer> {
  const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  await runProgram('tar', [...reproducible, '-C', folder, '-cf', file, '.']);
  return { file, digest: await digestOfFile(file) };
}

export interface Image {
  /** As containerd and pods call it. */
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly settings: ImageSettings;
}

/** Writes one archive with all of them; a layer that several have is in it once. */
export async function writeImages(archive: string, images: readonly Image[]): Promise<void> {
  const layout = `${archive}.layout`;
  const blobs = join(layout, 'blobs', 'sha256');
  await rm(layout, { recursive: true, force: true });
  await mkdir(blobs, { recursive: true });

  const addJson = async (mediaType: string, value: unknown): Promise<Descriptor> => {
    const text = JSON.stringify(value);
    const digest = createHash('sha256').update(text).digest('hex');
    await writeFile(join(blobs, digest), text);
    return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
  };
  const addLayer = async ({ file, digest }: Layer): Promise<Descriptor> => {
    await linkOrCopy(file, join(blobs, digest));
    return { mediaType: `${mediaTypes}.layer.v1.tar`, digest: `sha256:${digest}`, size: (await stat(file)).size };
  };

  const manifests: object[] = [];
  for (const { name, layers, settings } of images) {
    const config = await addJson(`${mediaTypes}.config.v1+json`, configuration(layers, settings));
    const described: Descriptor[] = [];
    for (const layer of layers) described.push(await addLayer(layer));
    const mediaType = `${mediaTypes}.manifest.v1+json`;
    const manifest = await addJson(mediaType, { schemaVersion: 2, mediaType, config, layers: described });
    const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name };
    manifests.push({ ...manifest, annotations });
  }
  await writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await runProgram('tar', ['-C', layout, '-cf', archive, '.']);
  await rm(layout, { recursive: true });
}

const mediaTypes = 'application/vnd.oci.image';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function configuration(layers: readonly Layer[], settings: ImageSettings): unknown {
  const { user, entrypoint, command = [], env = {}, workingFolder = '/' } = settings;
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      User: user,
      Entrypoint: entrypoint,
      Cmd: command,
      Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      WorkingDir: workingFolder,
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
  };
}

/** The cache folder may lie on another disk than the archive. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}

async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
