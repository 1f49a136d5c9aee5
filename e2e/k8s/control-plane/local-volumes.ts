/**
 * Disks for claims: a folder of the node for each claim of the class `local`, which is the default class. Folders are open to every
 * user, since nobody changes the owner of what lies on the node itself.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kubectl } from '@kafscale/testkit';
import { nodeName } from './addresses.ts';

const className = 'local';
const pauseMs = 1_000;
const openToEveryone = 0o777;

interface Claim {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
  readonly spec: {
    readonly storageClassName?: string;
    readonly accessModes: readonly string[];
    readonly resources: { readonly requests: { readonly storage: string } };
  };
  readonly status?: { readonly phase?: string };
}

export class LocalVolumes {
  readonly #kubectl: Kubectl;
  readonly #folder: string;
  readonly #stopped = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(kubectl: Kubectl, folder: string) {
    this.#kubectl = kubectl;
    this.#folder = folder;
  }

  async start(): Promise<void> {
    await this.#kubectl.apply([storageClass]);
    this.#loop = this.#run();
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#provideAll().catch(() => undefined); // the API server may be away; the next round asks again
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #provideAll(): Promise<void> {
    const claims = await this.#kubectl.list<Claim>('persistentvolumeclaims');
    const waiting = claims.filter(
      ({ spec, status }) => spec.storageClassName === className && status?.phase === 'Pending',
    );
    for (const claim of waiting) await this.#provide(claim);
  }

  async #provide({ metadata: claim, spec }: Claim): Promise<void> {
    const name = `claim-${claim.uid}`;
    const path = join(this.#folder, name);
    await mkdir(path, { recursive: true });
    await chmod(path, openToEveryone);
    await this.#kubectl.apply([
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: {
          storageClassName: className,
          accessModes: spec.accessModes,
          capacity: spec.resources.requests,
          persistentVolumeReclaimPolicy: 'Retain',
          claimRef: {
            apiVersion: 'v1',
            kind: 'PersistentVolumeClaim',
            name: claim.name,
            namespace: claim.namespace,
            uid: claim.uid,
          },
          hostPath: { path },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [nodeName] }] },
              ],
            },
          },
        },
      },
    ]);
  }
}

const storageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: className, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'kafscale.test/local',
  volumeBindingMode: 'Immediate',
};
