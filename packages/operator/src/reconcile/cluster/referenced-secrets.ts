/** The secrets that a cluster names: whether each is there with what brokers need of it, and which state of them pods were started with. */
import type { KafScaleClusterSpec } from '../../api/cluster.ts';
import { kinds, type KubeClient, type Secret, type Stored } from '../../kube/index.ts';
import { hashOf } from '../../resources/brokers.ts';

export interface SecretsFound {
  /** Of the secrets that pods read only at their start, as they are now. */
  readonly hash: string;
  /** What a person has to do first; undefined when nothing is missing. */
  readonly missing?: string | undefined;
}

interface Reference {
  /** Where the resource names it. */
  readonly field: string;
  readonly name: string;
  /** One of these sets of keys has to be there. */
  readonly keys: readonly (readonly string[])[];
  /** Files that are mounted are read again when they change; variables are not. */
  readonly isReadAtStart: boolean;
}

const s3Keys = [
  ['KAFSCALE_S3_ACCESS_KEY', 'KAFSCALE_S3_SECRET_KEY'],
  ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
] as const;

function referencesOf({ s3, etcd }: KafScaleClusterSpec): readonly Reference[] {
  const reference = (
    field: string,
    ref: { readonly name: string } | undefined,
    rest: Pick<Reference, 'keys' | 'isReadAtStart'>,
  ) => (ref === undefined ? [] : [{ field, name: ref.name, ...rest }]);
  return [
    ...reference('s3.credentialsSecretRef', s3.credentialsSecretRef, { keys: s3Keys, isReadAtStart: true }),
    ...reference('etcd.credentialsSecretRef', etcd.credentialsSecretRef, {
      ...{ keys: [['KAFSCALE_ETCD_USERNAME', 'KAFSCALE_ETCD_PASSWORD']], isReadAtStart: true },
    }),
    ...reference('etcd.tlsSecretRef', etcd.tlsSecretRef, { keys: [['ca.crt']], isReadAtStart: false }),
  ];
}

export async function referencedSecrets(
  client: Pick<KubeClient, 'find'>,
  { namespace, spec }: { readonly namespace: string; readonly spec: KafScaleClusterSpec },
  signal: AbortSignal,
): Promise<SecretsFound> {
  const versions: Record<string, string> = {};
  const missing: string[] = [];
  for (const reference of referencesOf(spec)) {
    const secret = await client.find(kinds.Secret, { namespace, name: reference.name }, { signal });
    const fault = faultOf(reference, secret);
    if (fault !== undefined) missing.push(fault);
    if (reference.isReadAtStart && secret !== undefined) {
      versions[reference.field] = `${secret.metadata.uid} ${secret.metadata.resourceVersion}`;
    }
  }
  return { hash: hashOf(versions), missing: missing.length === 0 ? undefined : missing.join('; ') };
}

function faultOf({ field, name, keys }: Reference, secret: Stored<Secret> | undefined): string | undefined {
  if (secret === undefined) return `the secret ${name} of spec.${field} does not exist; create it in this namespace`;
  const has = (key: string) => (secret.data?.[key] ?? '') !== '';
  if (keys.some((all) => all.every(has))) return undefined;
  const lacking = keys[0]!.filter((key) => !has(key)).join(' and ');
  const others = keys.slice(1).map((all) => ` (or ${all.join(' and ')})`);
  return `the secret ${name} of spec.${field} lacks the key ${lacking}${others.join('')}`;
}
