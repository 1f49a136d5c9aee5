/**
 * Rewrites manifests of KafScale (Go) for us: other kinds, a secret that is named by an object, and without the fields that nothing
 * serves here. Each thing that is changed or left out is said. Facts of the other side: its `v1alpha1` schema.
 */
import type { z } from 'zod';
import { clusterSchema } from './cluster.ts';
import { apiVersion, clusterKind, topicKind } from './crd.ts';
import { topicSchema } from './topic.ts';

type Manifest = Record<string, unknown>;

export interface MigratedManifest {
  readonly manifest: Manifest;
  /** What was changed in meaning or left out, one sentence each. */
  readonly notes: readonly string[];
  /** What still has to be changed by hand before the API server takes it. */
  readonly faults: readonly string[];
}

const formerGroups = new Set(['kafscale.io', 'kafscale.novatechflow.io']);

interface Migration {
  readonly kind: string;
  readonly spec: z.ZodType;
  readonly rewrite: (spec: Manifest, note: (text: string) => void) => void;
}

const migrations: Readonly<Record<string, Migration>> = {
  KafscaleCluster: { kind: clusterKind.kind, spec: clusterSchema.spec, rewrite: rewriteCluster },
  KafscaleTopic: { kind: topicKind.kind, spec: topicSchema.spec, rewrite: rewriteTopic },
};

/** Undefined for a manifest that is none of theirs. */
export function migrateManifest(manifest: Manifest): MigratedManifest | undefined {
  const [group] = String(manifest['apiVersion']).split('/');
  const migration = migrations[String(manifest['kind'])];
  if (migration === undefined || !formerGroups.has(group!)) return undefined;
  const notes: string[] = [];
  const { status, ...kept } = structuredClone(manifest);
  if (status !== undefined) notes.push('status: left out, the operator writes its own');
  const spec = { ...(kept['spec'] as Manifest | undefined) };
  migration.rewrite(spec, (text) => void notes.push(text));
  const { success, error } = migration.spec.safeParse(spec);
  const faults = success ? [] : error.issues.map(({ path, message }) => `spec.${path.join('.')}: ${message}`);
  return { manifest: { ...kept, apiVersion, kind: migration.kind, spec }, notes, faults };
}

function rewriteCluster(spec: Manifest, note: (text: string) => void): void {
  leaveOut(spec, 'lfsProxy', note, 'spec.lfsProxy: left out, large objects are not served through a proxy here');
  for (const part of ['brokers', 's3', 'etcd', 'config']) {
    if (spec[part] !== undefined) spec[part] = { ...(spec[part] as Manifest) };
  }
  const { brokers, s3, etcd, config } = spec as Record<string, Manifest | undefined>;
  if (config) leaveOut(config, 'ui', note, 'spec.config.ui: left out, nothing served it');
  if (etcd)
    leaveOut(
      etcd,
      'useKubeEtcd',
      note,
      'spec.etcd.useKubeEtcd: left out, the operator runs an etcd of its own where endpoints is empty',
    );
  if (s3) rewriteS3(s3, note);
  if (brokers) rewriteBrokers(brokers, note);
}

function rewriteS3(s3: Manifest, note: (text: string) => void): void {
  const secret = s3['credentialsSecretRef'] ?? s3['credentialsSecret'];
  delete s3['credentialsSecret'];
  if (typeof secret === 'string') s3['credentialsSecretRef'] = { name: secret };
  for (const field of ['endpoint', 'readEndpoint']) {
    const value = s3[field];
    if (value === '') Reflect.deleteProperty(s3, field);
    if (typeof value !== 'string' || value === '' || /^https?:\/\//.test(value)) continue;
    s3[field] = `http://${value}`;
    note(`spec.s3.${field}: http:// was put before it; write https:// if the service speaks TLS`);
  }
}

function rewriteBrokers(brokers: Manifest, note: (text: string) => void): void {
  if (brokers['image'] !== undefined) {
    leaveOut(
      brokers,
      'image',
      note,
      "spec.brokers.image: left out, it names the other implementation; unset means this operator's release",
    );
  }
  if (brokers['advertisedPort'] !== undefined && brokers['advertisedHost'] === undefined) {
    leaveOut(
      brokers,
      'advertisedPort',
      note,
      'spec.brokers.advertisedPort: left out, pods tell clients their own address and port',
    );
  }
  if (brokers['advertisedHost'] !== undefined && Number(brokers['replicas'] ?? 3) > 1) {
    note(
      'spec.brokers.advertisedHost: every broker tells clients this one host, which only works with one broker or a proxy that knows them all',
    );
  }
}

function rewriteTopic(spec: Manifest): void {
  const config = spec['config'] as Manifest | undefined;
  if (config === undefined) return;
  spec['config'] = Object.fromEntries(Object.entries(config).map(([name, value]) => [name, String(value)]));
}

function leaveOut(from: Manifest, field: string, note: (text: string) => void, text: string): void {
  if (from[field] === undefined) return;
  Reflect.deleteProperty(from, field);
  note(text);
}
