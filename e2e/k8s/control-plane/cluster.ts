/**
 * A whole Kubernetes on this machine: control plane, one node that really runs pods, DNS, volumes and our images. Only inside the
 * namespaces that own-namespaces.ts makes; their end is its end.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ControlPlane, eventually, type ChildServer } from '@kafscale/testkit';
import { buildImages } from '../images.ts';
import { nodeAddress, nodeName } from './addresses.ts';
import { startDns } from './cluster-dns.ts';
import { importImages, startContainerd } from './container-runtime.ts';
import { startKubelet } from './kubelet.ts';
import { giveAddresses } from './load-balancers.ts';
import { provideVolumes } from './local-volumes.ts';
import { makeNodeMachine } from './node-machine.ts';
import type { Repeated } from './repeated.ts';

export type Progress = (text: string) => void;

const nodeReadySeconds = 300;

export class Cluster {
  readonly controlPlane: ControlPlane;
  readonly #controllers: readonly Repeated[];
  readonly #servers: readonly ChildServer[];

  private constructor(controlPlane: ControlPlane, controllers: readonly Repeated[], servers: readonly ChildServer[]) {
    this.controlPlane = controlPlane;
    this.#controllers = controllers;
    this.#servers = servers;
  }

  /** Resolves when the node takes pods. What it writes goes to `folder`. */
  static async start(folder: string, progress: Progress): Promise<Cluster> {
    await makeNodeMachine(folder);
    progress('starting the control plane and containerd, packing images');
    const imagesFolder = join(folder, 'images');
    await mkdir(imagesFolder);
    const [controlPlane, containerd, archive] = await Promise.all([
      ControlPlane.start({ controllers: true, address: nodeAddress }),
      startContainerd(folder),
      buildImages(imagesFolder),
    ]);
    progress('importing images, starting the kubelet');
    const [, node, dns] = await Promise.all([
      importImages(archive),
      startKubelet(folder, controlPlane),
      startDns(folder, controlPlane),
    ]);
    const { kubectl } = controlPlane;
    const controllers = [await provideVolumes(kubectl, join(folder, 'volumes')), giveAddresses(kubectl)];
    const known = async (): Promise<boolean> => (await kubectl.find('node', nodeName)) !== undefined;
    await eventually('the node is known', known, nodeReadySeconds * 1_000, 250);
    await kubectl.wait(`node/${nodeName}`, 'condition=Ready', undefined, nodeReadySeconds);
    return new Cluster(controlPlane, controllers, [containerd, ...node, dns]);
  }

  /** Of the administrator. */
  get kubeconfig(): string {
    return this.controlPlane.kubeconfig;
  }

  /** Ends what it started here; pods end with the namespaces. */
  async close(): Promise<void> {
    await Promise.all(this.#controllers.map((controller) => controller.close()));
    for (const server of this.#servers) await server.kill();
    await this.controlPlane.close();
  }
}
