/**
 * The token of a cluster's control ports: made once, kept in a secret that goes with the cluster, never written again and never
 * shown. Secrets are read one by one and created; the operator neither lists nor changes any.
 */
import type { Random } from '@kafscale/runtime';
import {
  ChildRefused,
  controllerOf,
  controllerReference,
  describeObject,
  isKubeError,
  kinds,
  type KubeClient,
  type Owner,
  type Secret,
  type Stored,
} from '../../kube/index.ts';
import { labelsOf, namesOf } from '../../resources/cluster-plan.ts';
import type { KafScaleCluster } from '../resource-kinds.ts';

const tokenBytes = 32;
export const tokenKey = 'token';
/** Shorter ones could be guessed. */
const shortestToken = 16;

export interface ControlTokenDeps {
  readonly client: Pick<KubeClient, 'find' | 'create' | 'get'>;
  readonly random: Random;
}

/** What the secret holds now, made if there is none. Throws ChildRefused when it is somebody else's or holds no token. */
export async function controlToken(
  { client, random }: ControlTokenDeps,
  owner: Owner<KafScaleCluster>,
  signal: AbortSignal,
): Promise<string> {
  const { metadata } = owner.object;
  const { namespace = '' } = metadata;
  const name = { namespace, name: namesOf(metadata.name).control };
  const found = await client.find(kinds.Secret, name, { signal });
  if (found !== undefined) return tokenOf(owner, found);
  const token = random.bytes(tokenBytes).toString('base64url');
  try {
    const ownerReferences = [controllerReference(owner.kind, owner.object)];
    await client.create(
      kinds.Secret,
      {
        metadata: { ...name, labels: labelsOf(metadata, 'broker'), ownerReferences },
        type: 'Opaque',
        immutable: true,
        data: { [tokenKey]: Buffer.from(token).toString('base64') },
      },
      { signal },
    );
    return token;
  } catch (error) {
    if (!isKubeError(error, 'already-exists')) throw error;
    return tokenOf(owner, await client.get(kinds.Secret, name, { signal }));
  }
}

function tokenOf({ object }: Owner<KafScaleCluster>, secret: Stored<Secret>): string {
  const what = describeObject(kinds.Secret, secret.metadata);
  const controller = controllerOf(secret);
  if (controller !== undefined && controller.uid !== object.metadata.uid) {
    throw new ChildRefused(
      'not-ours',
      `${what} belongs to ${controller.kind} ${controller.name}, or to an earlier one`,
    );
  }
  // A file may hold several lines, of which each is good; the first is the one to use.
  const [token = ''] = Buffer.from(secret.data?.[tokenKey] ?? '', 'base64')
    .toString('utf8')
    .split('\n');
  if (token.trim().length >= shortestToken) return token.trim();
  throw new ChildRefused(
    'not-ours',
    `${what} has no key "${tokenKey}" with at least ${shortestToken} characters; delete the secret and the operator makes one`,
  );
}
