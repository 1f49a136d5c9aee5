import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { main } from '../main.ts';

let folder: string;
let printed: { out: string; err: string };
const streams = ['stdout', 'stderr'] as const;
const writes = streams.map((stream) => process[stream].write.bind(process[stream]));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kafscale-migrate-'));
  printed = { out: '', err: '' };
  process.stdout.write = (text) => ((printed.out += String(text)), true);
  process.stderr.write = (text) => ((printed.err += String(text)), true);
});
afterEach(async () => {
  for (const [index, stream] of streams.entries()) process[stream].write = writes[index]!;
  await rm(folder, { recursive: true });
});

async function migrated(manifest: string) {
  const file = join(folder, 'manifest.yaml');
  await writeFile(file, manifest);
  const exitCode = await main(['migrate', file]);
  return { exitCode, documents: parseAllDocuments(printed.out).map((document) => document.toJS() as unknown) };
}

const secret = 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: kafscale-s3 # kept\n';
const cluster = (brokers = 'replicas: 1') => `apiVersion: kafscale.io/v1alpha1
kind: KafscaleCluster
metadata:
  name: demo
spec:
  brokers:
    ${brokers}
  s3:
    bucket: kafscale-demo
    region: us-east-1
    credentialsSecretRef: kafscale-s3
  etcd:
    endpoints: []
`;

test('rewrites what is theirs and leaves the rest as it is', async () => {
  const { exitCode, documents } = await migrated(`${secret}---\n${cluster()}`);
  expect(exitCode).toBe(0);
  expect(printed.out).toContain('# kept');
  expect(documents[1]).toMatchObject({
    kind: 'KafScaleCluster',
    spec: { s3: { credentialsSecretRef: { name: 'kafscale-s3' } } },
  });
});

test('takes the list that kubectl prints', async () => {
  const items = cluster()
    .trimEnd()
    .split('\n')
    .map((line, index) => (index === 0 ? `- ${line}` : `  ${line}`));
  const { documents } = await migrated(`apiVersion: v1\nkind: List\nitems:\n${items.join('\n')}\n`);
  expect(documents).toMatchObject([{ kind: 'List', items: [{ kind: 'KafScaleCluster' }] }]);
});

test('says what is left out', async () => {
  expect((await migrated(cluster('image: { tag: x }'))).exitCode).toBe(0);
  expect(printed.err).toContain('KafScaleCluster demo: spec.brokers.image: left out');
});

test('ends with 1 when something has to be changed by hand', async () => {
  expect((await migrated(cluster('replicas: -1'))).exitCode).toBe(1);
  expect(printed.err).toContain('change by hand: spec.brokers.replicas');
});

test.each([
  ['a file that does not exist', ['migrate', '/nowhere/manifest.yaml'], /cannot be read/],
  ['no file', ['migrate'], /missing required argument/],
])('%s is said, not thrown', async (_, args, message) => {
  expect(await main(args)).not.toBe(0);
  expect(printed.err).toMatch(message);
});

test('what is no YAML is said', async () => {
  expect((await migrated('a: [')).exitCode).toBe(1);
  expect(printed.err).toContain('is no YAML');
});
