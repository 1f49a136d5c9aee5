/**
 * The suites behind `make test`, in the order they run: what is cheap and judges the text first, real programs and kills last. A
 * suite says what it needs and how it is counted; how suites are run, timed and added up is run.ts's business.
 */
import { givenEtcdEndpoints, runProgram, s3Choices, type EtcdVersion } from '@kafscale/testkit';
import type { TestServerName } from './test-servers.ts';

export interface SuiteCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Suite {
  readonly name: string;
  readonly about: string;
  /** Programs without which it is skipped by name on a user's machine, and fails in CI. */
  readonly needs: readonly string[];
  /** Programs without which a part of it is skipped, which it says itself. */
  readonly wants?: readonly string[];
  /** Servers that are built from their Go modules before it starts. */
  readonly servers?: readonly TestServerName[];
  /** True when it cannot run as this user, whatever is installed. */
  readonly needsRoot?: boolean;
  /** True for what runs only when it is asked for by name. */
  readonly onRequest?: boolean;
  readonly timeoutMinutes: number;
  /** `exit`: one test, passed when the command ends with 0. `jest`: counted from Jest's report. */
  readonly counted: 'exit' | 'jest';
  command(): Promise<SuiteCommand> | SuiteCommand;
}

const npmRun = (script: string): SuiteCommand => ({ program: 'npm', args: ['run', '--silent', script] });

function jest(config: string, ...args: readonly string[]): SuiteCommand {
  const jestFile = 'node_modules/jest/bin/jest.js';
  return {
    program: process.execPath,
    args: ['--experimental-vm-modules', '--no-warnings', jestFile, '--config', config, ...args],
  };
}

let built: Promise<string> | undefined;

/** For suites that run the built command, also when they are the only ones chosen. What does not compile is for `types` to say. */
async function build(): Promise<void> {
  built ??= runProgram('npm', ['run', '--silent', 'build']).catch(() => '');
  await built;
}

async function e2e(path: string): Promise<SuiteCommand> {
  await build();
  return jest('jest.e2e.config.js', path);
}

const [ownEtcd, ownS3] = [givenEtcdEndpoints() === undefined, s3Choices()[0].isOwn];
const metadataStoreTests = ['packages/broker/src/metadata/etcd', 'packages/broker/src/broker.etcd'];

/** What a line of etcd may do differently, on that line. */
const etcdSuite = (line: string, version: EtcdVersion, server: TestServerName): Suite => ({
  name: `etcd-${line}`,
  about: `every test of the metadata store, and of brokers on it, by etcd ${line}`,
  needs: ['openssl', 'go'],
  servers: [server],
  onRequest: true,
  timeoutMinutes: 15,
  counted: 'jest',
  command: () => {
    const { program, args } = jest('jest.integration.config.js', ...metadataStoreTests);
    return { program, args, env: { KAFSCALE_TEST_ETCD_VERSION: version } };
  },
});

export const suites: readonly Suite[] = [
  {
    name: 'format',
    about: 'Prettier has nothing to change',
    needs: [],
    timeoutMinutes: 5,
    counted: 'exit',
    command: () => npmRun('format:check'),
  },
  {
    name: 'types',
    about: 'everything builds under the strict compiler',
    needs: [],
    timeoutMinutes: 10,
    counted: 'exit',
    command: () => npmRun('build'),
  },
  {
    name: 'lint',
    about: 'type-aware rules and who may import whom',
    needs: [],
    timeoutMinutes: 10,
    counted: 'exit',
    command: () => npmRun('lint'),
  },
  {
    name: 'unit',
    about: 'unit, property, contract and model tests beside the code',
    needs: [],
    timeoutMinutes: 20,
    counted: 'jest',
    command: () => jest('jest.config.js'),
  },
  {
    name: 'integration',
    about: "golden bytes and message definitions of Kafka's own jars; real etcd, S3 servers and files",
    needs: ['mvn', 'java', 'jar', 'etcd', 'etcdctl', 'openssl', 'go'],
    servers: ['etcd', 'minio', 'versitygw', 'etcd 3.5'],
    timeoutMinutes: 20,
    counted: 'jest',
    command: () => jest('jest.integration.config.js'),
  },
  {
    name: 'demo',
    about: '`kafscale demo` says what the README promises',
    needs: [],
    timeoutMinutes: 5,
    counted: 'jest',
    command: () => e2e('e2e/demo'),
  },
  {
    name: 'clients',
    about: 'real clients with their default settings',
    needs: [],
    wants: ['mvn', 'javac', 'python3', 'kcat'],
    timeoutMinutes: 15,
    counted: 'jest',
    command: () => e2e('e2e/clients'),
  },
  {
    name: 'format-reader',
    about: 'a Python program that knows only docs/reference/storage-format.md reads what we store',
    needs: ['python3'],
    timeoutMinutes: 5,
    counted: 'jest',
    command: () => e2e('e2e/external-reader'),
  },
  {
    name: 'kills',
    about: 'seeded kill -9 of the broker, each followed by a full read-back',
    needs: [],
    timeoutMinutes: 20,
    counted: 'jest',
    command: () => e2e('e2e/kills'),
  },
  {
    name: 'cluster',
    about: 'three brokers on real etcd and MinIO: real clients, every fault under load, scaling from nobody to three',
    needs: ['mvn', 'java', 'python3', 'kcat', 'etcd', 'etcdctl', 'go'],
    wants: ['javac'],
    servers: ['minio', 'etcd', 'versitygw'],
    timeoutMinutes: 15,
    counted: 'jest',
    command: () => e2e('e2e/cluster'),
  },
  {
    name: 'forgetful',
    about: 'kill -9 on a file system that keeps only what was fsynced',
    needs: ['mkfs.ext4', 'losetup', 'mount'],
    needsRoot: true,
    timeoutMinutes: 15,
    counted: 'jest',
    command: () => e2e('e2e/forgetful'),
  },
  {
    name: 'corpus',
    about: 'the main job on real text: 100 MB through two clients, a kill, and every acknowledged line back',
    needs: ['mvn', 'java', 'kcat', 'python3'],
    timeoutMinutes: 20,
    counted: 'jest',
    command: () => e2e('e2e/corpus'),
  },
  {
    name: 'stores',
    about: 'the tests of both stores, on servers of ours or on those that KAFSCALE_TEST_* names',
    needs: [...(ownEtcd ? ['etcd', 'etcdctl', 'openssl'] : []), ...(ownEtcd || ownS3 ? ['go'] : [])],
    servers: [...(ownEtcd ? (['etcd', 'etcd 3.5'] as const) : []), ...(ownS3 ? (['minio', 'versitygw'] as const) : [])],
    onRequest: true,
    timeoutMinutes: 20,
    counted: 'jest',
    command: () =>
      jest(
        'jest.integration.config.js',
        ...metadataStoreTests,
        'packages/broker/src/storage',
        'packages/broker/src/broker.keeper',
      ),
  },
  {
    name: 'operator',
    about:
      'the operator, its resources and its chart against a real Kubernetes API server and controllers, without pods',
    needs: ['openssl', 'go', 'promtool'],
    servers: ['etcd', 'kubernetes', 'helm'],
    onRequest: true,
    timeoutMinutes: 20,
    counted: 'jest',
    async command() {
      await build();
      return jest('jest.kube.config.js');
    },
  },
  etcdSuite('3.5', 'previous', 'etcd 3.5'),
  etcdSuite('3.6', 'newest', 'etcd'),
];
