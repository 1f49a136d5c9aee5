/** A rule that nobody has seen fail is no rule: each kind of forbidden import is written into a real file's place and must be caught. */
import { spawn } from 'node:child_process';
import { brokerLayers, forbiddenFolders, operatorLayers } from './boundaries.mjs';

interface LintCase {
  readonly fact: string;
  /** An existing file, whose place in the tree decides the rules. */
  readonly file: string;
  readonly code: string;
  readonly rule: string;
}

const caught: readonly LintCase[] = [
  {
    fact: 'a package importing one that it may not',
    file: 'packages/protocol/src/index.ts',
    code: `import { SlabPool } from '@kafscale/runtime';\nexport const pool = SlabPool;\n`,
    rule: '@nx/enforce-module-boundaries',
  },
  {
    fact: 'broker code importing the testkit outside a test',
    file: 'packages/broker/src/storage/object-store.ts',
    code: `import * as testkit from '@kafscale/testkit';\nexport const kit = testkit;\n`,
    rule: '@nx/enforce-module-boundaries',
  },
  {
    fact: 'a relative import that leaves its package',
    file: 'packages/broker/src/storage/object-store.ts',
    code: `import { SlabPool } from '../../../runtime/src/slab-pool.ts';\nexport const pool = SlabPool;\n`,
    rule: '@nx/enforce-module-boundaries',
  },
  {
    fact: 'an inner folder importing an outer one',
    file: 'packages/broker/src/storage/object-store.ts',
    code: `import { PartitionLog } from '../log/partition-log.ts';\nexport const log = PartitionLog;\n`,
    rule: 'import-x/no-restricted-paths',
  },
  {
    fact: 'a sideways import, of a type alone',
    file: 'packages/broker/src/metadata/lane.ts',
    code: `import type { ObjectStore } from '../storage/object-store.ts';\nexport type Store = ObjectStore;\n`,
    rule: 'import-x/no-restricted-paths',
  },
  {
    fact: "the operator's runtime importing what rests on it",
    file: 'packages/operator/src/kube/kube-object.ts',
    code: `import type { KafScaleClusterSpec } from '../api/cluster.ts';\nexport type Spec = KafScaleClusterSpec;\n`,
    rule: 'import-x/no-restricted-paths',
  },
  {
    fact: 'the client of Kubernetes away from its home',
    file: 'packages/operator/src/resources/brokers.ts',
    code: `import type { V1Pod } from '@kubernetes/client-node';\nexport type Pod = V1Pod;\n`,
    rule: 'no-restricted-imports',
  },
  {
    fact: 'an external package away from its home',
    file: 'packages/broker/src/storage/object-store.ts',
    code: `import { open } from 'lmdb';\nexport const database = open;\n`,
    rule: 'no-restricted-imports',
  },
  {
    fact: 'the ambient clock outside the runtime',
    file: 'packages/broker/src/log/partition-log.ts',
    code: `export const now = (): number => Date.now();\n`,
    rule: 'no-restricted-properties',
  },
  {
    fact: 'a bare timer outside the runtime',
    file: 'packages/broker/src/log/partition-log.ts',
    code: `export const later = (run: () => void): unknown => setTimeout(run, 1);\n`,
    rule: 'no-restricted-globals',
  },
  {
    fact: 'a promise that nobody waits for',
    file: 'packages/broker/src/log/partition-log.ts',
    code: `export function start(work: () => Promise<void>): void {\n  work();\n}\n`,
    rule: '@typescript-eslint/no-floating-promises',
  },
];

const allowed: readonly Omit<LintCase, 'rule'>[] = [
  {
    fact: 'an outer folder importing an inner one',
    file: 'packages/broker/src/log/partition-log.ts',
    code: `import type { ObjectStore } from '../storage/object-store.ts';\nexport type Store = ObjectStore;\n`,
  },
  {
    fact: 'the broker importing the protocol',
    file: 'packages/broker/src/storage/object-store.ts',
    code: `import { metadataKeys } from '@kafscale/protocol';\nexport const keys = metadataKeys;\n`,
  },
];

/** One ESLint for all cases, in a process of its own: Jest's module registry is no place for a linter and its plugins. */
const lintAll = `
  import { createProjectGraphAsync } from '@nx/devkit';
  import { ESLint } from 'eslint';
  await createProjectGraphAsync();
  let input = '';
  for await (const chunk of process.stdin) input += chunk;
  const eslint = new ESLint();
  const answers = [];
  for (const { file, code } of JSON.parse(input)) {
    const [result] = await eslint.lintText(code, { filePath: file });
    answers.push(result.messages.map(({ ruleId, message }) => ruleId ?? message));
  }
  process.stdout.write(JSON.stringify(answers));
`;

function lint(cases: readonly { file: string; code: string }[]): Promise<string[][]> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', lintAll], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NX_DAEMON: 'false' },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(output) as string[][]);
      else reject(new Error(`eslint ended with ${String(code)}`));
    });
    child.stdin.end(JSON.stringify(cases));
  });
}

describe('the boundaries', () => {
  let answers: string[][];
  beforeAll(async () => {
    answers = await lint([...caught, ...allowed]);
  }, 120_000);

  it.each(caught.map((entry, index) => ({ ...entry, index })))('catch $fact', ({ rule, index }) => {
    expect(answers[index]).toContain(rule);
  });

  it.each(allowed.map((entry, index) => ({ ...entry, index: caught.length + index })))('allow $fact', ({ index }) => {
    expect(answers[index]).not.toContainEqual(expect.stringMatching(/import|boundaries/));
  });

  it.each([
    { name: 'broker', layers: brokerLayers },
    { name: 'operator', layers: operatorLayers },
  ])('keep every folder of the $name from the layers above it and beside it', ({ layers }) => {
    for (const { folder, forbidden } of forbiddenFolders(layers)) {
      const level = layers.layers.findIndex((layer) => layer.includes(folder));
      if (level < 0) continue;
      const notBelow = layers.layers.slice(0, level + 1).flat();
      expect(forbidden).toEqual(notBelow.filter((other) => other !== folder));
    }
  });
});
