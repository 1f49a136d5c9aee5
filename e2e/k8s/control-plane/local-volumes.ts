/**
 * Disks for claims: a folder of the node for each claim of the class `local`, which is the default class. Folders are open to every
 * user, since nobody changes the owner of what lies on the node itself.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kubectl } from '@kafscale/testkit';
import { nodeName } from './addresses.ts';
import { Repeated } from './repeated.ts';

const className = 'local';
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

/** Gives every claim its folder below `folder` until it is closed. */
export async function provideVolumes(kubectl: Kubectl, folder: string): Promise<Repeated> {
  await kubectl.apply([storageClass]);
  return new Repeated(async () => {
    const claims = await kubectl.list<Claim>('persistentvolumeclaims');
    for (const claim of claims.filter(isWaiting)) await kubectl.apply([await volumeFor(claim, folder)]);
  });
}

const isWaiting = ({ spec, status }: Claim): boolean =>
  spec.storageClassName === className && status?.phase === 'Pending';

async function volumeFor({ metadata: claim, spec }: Claim, folder: string): Promise<object> {
  const name = `claim-${claim.uid}`;
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  await chmod(path, openToEveryone);
  const onThisNode = { key: 'kubernetes.io/hostname', operator: 'In', values: [nodeName] };
  return {
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
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [onThisNode] }] } },
    },
  };
}

const storageClass = {
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: { name: className, annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: 'kafscale.test/local',
  volumeBindingMode: 'Immediate',
};
