/** The `kafscale` command: parses arguments and starts a command, which is loaded only then. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { readFileSync } from 'node:fs';
import type { CheckOptions } from './commands/check.ts';
import type { ClusterOptions } from './commands/cluster.ts';
import type { DevOptions } from './commands/dev.ts';
import type { OperatorOptions } from './commands/operator.ts';
import { addEtcdCommands } from './etcd-commands.ts';
import { addMaintenanceCommands } from './maintenance-commands.ts';
import { CommandError, print, printError } from './output.ts';

const usageExitCode = 2;

/** Runs the command line; answers the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExitCode;
    printError(error instanceof CommandError ? error.message : inFull(error));
    return 1;
  }
}

/** A failure nobody foresaw, with all that helps to find it. */
const inFull = (error: unknown): string =>
  `Unexpected failure, please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;

function createProgram(): Command {
  const program = new Command('kafscale')
    .description('A Kafka-protocol streaming platform without disks: records in object storage, stateless brokers.')
    .version(packageVersion(), '-v, --version')
    .configureOutput({ writeOut: (text) => print(text.trimEnd()), writeErr: (text) => printError(text.trimEnd()) })
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('Run it with --help to see what it takes.')
    .addHelpText(
      'after',
      `
First steps:
  $ kafscale demo                 see it work: produces and consumes a few messages, leaves nothing behind
  $ kafscale dev                  start it on 127.0.0.1:9092 and point any Kafka client there
  $ kafscale dev --help           what can be chosen
  $ kafscale cluster              three brokers, etcd and MinIO on this machine, to try out

Settings come from KAFSCALE_… variables; docs/reference/configuration.md lists them.`,
    );

  program
    .command('dev')
    .summary('run a whole KafScale in this terminal')
    .description('Runs a broker with everything embedded, in one process, until Ctrl-C. The data survives restarts.')
    .option('--port <number>', 'Kafka port on 127.0.0.1, 0 for a free one (default: 9092)', parsePort)
    .option('--metrics-port <number>', 'port of /metrics, 0 for a free one (default: 9093)', parsePort)
    .option('--data-dir <folder>', 'where records and metadata are kept (default: .kafscale)')
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale dev
  $ kafscale dev --port 0 --metrics-port 0 --data-dir /tmp/kafscale
  $ KAFSCALE_LOG_LEVEL=debug kafscale dev

Every setting of the broker can be given as a variable; an option wins over its variable.`,
    )
    .action(async (options: DevOptions) => {
      const { dev } = await import('./commands/dev.ts');
      await dev(options);
    });

  program
    .command('broker')
    .summary('run one broker of a cluster')
    .description(
      'Runs one broker, set up by KAFSCALE_… variables: records in an S3 bucket, metadata in etcd. SIGTERM hands its partitions to the other brokers before it ends; a second signal ends it at once.',
    )
    .addHelpText(
      'after',
      `
The least it needs:
  $ export KAFSCALE_ETCD_ENDPOINTS=http://etcd-1:2379,http://etcd-2:2379,http://etcd-3:2379
  $ export KAFSCALE_S3_BUCKET=records KAFSCALE_S3_REGION=eu-central-1
  $ export KAFSCALE_BROKER_HOST=broker-1.example.com     the name that clients reach it by
  $ kafscale broker

Start as many as you like with the same variables and their own KAFSCALE_BROKER_HOST. An S3-compatible service takes
KAFSCALE_S3_ENDPOINT; keys are KAFSCALE_S3_ACCESS_KEY and KAFSCALE_S3_SECRET_KEY, or what the AWS SDK finds by itself. NAME_FILE reads
NAME from a file. docs/reference/configuration.md lists every setting.

To try a cluster on this machine: kafscale cluster`,
    )
    .action(async () => {
      const { broker } = await import('./commands/broker.ts');
      await broker();
    });

  program
    .command('cluster')
    .summary('try a cluster on this machine')
    .description(
      'Starts etcd, MinIO and some brokers on 127.0.0.1, prints the bootstrap address, and stops them all on Ctrl-C. The data survives restarts. etcd and MinIO are used where they are installed, and otherwise built once from their Go modules.',
    )
    .addOption(new Option('--brokers <number>', 'how many').argParser(parseBrokers).default(3))
    .addOption(
      new Option('--port <number>', 'Kafka port of the first broker; the others follow, 0 for free ones')
        .argParser(parsePort)
        .default(9092),
    )
    .option('--data-dir <folder>', 'where data and logs are kept', '.kafscale-cluster')
    .addOption(
      new Option('--stores <kind>', 'embedded: no etcd and MinIO, all brokers in this one process')
        .choices(['processes', 'embedded'])
        .default('processes'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale cluster                            three brokers on ports 9092, 9093 and 9094, metrics on 9192 to 9194
  $ kafscale cluster --brokers 5 --port 19092
  $ kafscale cluster --stores embedded          nothing to install or build
  $ KAFSCALE_SESSION_TTL_MS=5000 kafscale cluster

What to try: create a topic with some partitions, produce to it, and kill a broker with kill -9; its partitions are writable on the
others after the session's time to live (10 s unless set) and a few seconds. Variables of a broker are passed on to each of them.

For more than trying: run \`kafscale broker\` per machine or container against your own etcd and bucket.`,
    )
    .action(async (options: ClusterOptions) => {
      const { cluster } = await import('./commands/cluster.ts');
      await cluster(options);
    });

  program
    .command('demo')
    .summary('produce and consume a few messages, then clean up')
    .description(
      'Starts a broker on free ports in a temporary folder, creates demo-topic-1, produces 25 messages with an ordinary Kafka client, reads 5 back in a consumer group, and removes everything.',
    )
    .action(async () => {
      const { demo } = await import('./commands/demo.ts');
      await demo();
    });

  program
    .command('operator')
    .summary('look after clusters and topics in Kubernetes')
    .description(
      'Makes and keeps what KafScaleCluster and KafScaleTopic resources ask for: brokers that are drained before they go, their Services, autoscalers and topics. Of several operators one acts. The chart in charts/kafscale runs it in a pod.',
    )
    .addOption(
      new Option(
        '--metrics-bind-address <address>',
        'host:port or :port of /metrics, /healthz and /readyz (default: :8080)',
      ),
    )
    .addOption(
      new Option('--leader-elect <flag>', 'act only while holding the lease (default: true)').choices([
        'true',
        'false',
      ]),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ helm install kafscale charts/kafscale -n kafscale-system --create-namespace     as a rule
  $ kafscale operator --leader-elect=false       from a workstation, by the kubeconfig that kubectl uses
  $ KAFSCALE_OPERATOR_WATCH_NAMESPACES=shop,billing kafscale operator

The resources have to be known to Kubernetes first: kubectl apply -f crds/
docs/reference/operator.md lists every setting, metric, condition and Event.`,
    )
    .action(async (options: OperatorOptions) => {
      const { operator } = await import('./commands/operator.ts');
      await operator(options);
    });

  program
    .command('check')
    .summary('send a record to a cluster and read it back')
    .description(
      'Makes a topic, produces a record with an ordinary Kafka client, consumes it in a group, and deletes the topic. Ends with exit code 1 when that does not work in time.',
    )
    .requiredOption('--bootstrap <host:port>', 'brokers to begin with, separated by commas', parseBootstrap)
    .option('--timeout <seconds>', 'for all of it', parseSeconds, 60)
    .option('--topic <name>', 'an existing topic to use, which keeps the record')
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale check --bootstrap localhost:9092
  $ kubectl run check --rm -i --restart=Never --image=kafscale/kafscale -- check --bootstrap kafscale-broker:9092

\`helm test\` runs it in the cluster of the chart.`,
    )
    .action(async (options: CheckOptions) => {
      const { check } = await import('./commands/check.ts');
      await check(options);
    });

  program
    .command('migrate')
    .summary('rewrite manifests of KafScale (Go) for this operator')
    .description(
      'Reads Kubernetes manifests, rewrites KafscaleCluster and KafscaleTopic resources as KafScaleCluster and KafScaleTopic, and prints everything. What is changed in meaning or left out is said on standard error. Ends with exit code 1 when something has to be changed by hand.',
    )
    .argument('<files...>', 'manifests as YAML or JSON, - for standard input')
    .addHelpText(
      'after',
      `
Examples:
  $ kafscale migrate cluster.yaml topics.yaml > kafscale.yaml
  $ kubectl get kafscaleclusters,kafscaletopics -o yaml | kafscale migrate - | kubectl diff -f -

Records stay where they are: docs/operations/migrating.md says how to bring them over.`,
    )
    .action(async (files: readonly string[]) => {
      const { migrate } = await import('./commands/migrate.ts');
      await migrate({ files });
    });

  addMaintenanceCommands(program);
  addEtcdCommands(program);
  return program;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError('A port is a number from 0 to 65535.');
  return port;
}

function parseBootstrap(text: string): readonly string[] {
  const addresses = text.split(',').map((address) => address.trim());
  if (addresses.some((address) => !/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/.test(address))) {
    throw new InvalidArgumentError('That is host:port, or several of them separated by commas.');
  }
  return addresses;
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds < 1 || seconds > 86_400) {
    throw new InvalidArgumentError('That is a number of seconds from 1 to 86400.');
  }
  return seconds;
}

function parseBrokers(text: string): number {
  const brokers = Number(text);
  if (!/^\d+$/.test(text) || brokers < 1 || brokers > 50) {
    throw new InvalidArgumentError('That is a number from 1 to 50.');
  }
  return brokers;
}

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
