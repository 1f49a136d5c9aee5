/**
 * Clients that work while something is done to the cluster, and the judgement over what they were told: every acknowledged record is
 * there, in its order, and no client saw an error that it could not get over.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryFolder } from '@kafscale/testkit';
import { nodeProgram, pod, type ContainerSettings } from './manifests.ts';
import { eventually, type PodStatus, type Scenario } from './scenario.ts';

const port = 8080;

/** What a writer says of itself; lists are by partition. */
export interface WriterReport {
  readonly name: string;
  readonly acked: readonly number[];
  /** Between two acknowledgements. */
  readonly longestGapMs: readonly number[];
  readonly consumed: number;
  readonly fatal: readonly string[];
}

/** What a reader found of one writer's records in one partition. */
interface ReadRecords {
  readonly name: string;
  readonly partition: number;
  readonly inOrder: number;
  readonly repeated: number;
  readonly wrong: readonly string[];
}

export interface LoadSettings {
  /** Where clients begin, as pods see it. */
  readonly bootstrap: string;
  readonly topic: string;
  readonly partitions: number;
}

async function clientProgram(file: string, ...args: readonly string[]): Promise<ContainerSettings> {
  const text = await readFile(join(repositoryFolder(), 'e2e/k8s/clients', file), 'utf8');
  const { image, command = [] } = nodeProgram(text, ...args);
  return { image, command: [command[0]!, '--input-type=module', ...command.slice(1)], folders: ['/tmp'] };
}

/** One writer, which is also a consumer group, in a pod of its own. */
export class Load {
  readonly #scenario: Scenario;
  readonly #settings: LoadSettings;
  readonly #name: string;

  private constructor(scenario: Scenario, settings: LoadSettings, name: string) {
    this.#scenario = scenario;
    this.#settings = settings;
    this.#name = name;
  }

  /** Resolves when records of every partition are acknowledged. */
  static async start(scenario: Scenario, name: string, settings: LoadSettings): Promise<Load> {
    const { bootstrap, topic, partitions } = settings;
    const program = await clientProgram('writer.js', bootstrap, topic, String(partitions), name, String(port));
    await scenario.apply(pod(scenario.place(name), { ...program, ports: { http: port } }));
    const load = new Load(scenario, settings, name);
    await load.moves(240_000);
    return load;
  }

  /** From here on gaps are counted anew, for what is about to be done. */
  async countGaps(): Promise<void> {
    await this.#ask('gaps');
  }

  /** Resolves when every partition took more records than it has now. */
  async moves(timeoutMs = 120_000): Promise<void> {
    const acked = async (): Promise<readonly number[]> =>
      (await this.#ask('progress').catch(() => undefined))?.acked ?? [];
    const before = await acked();
    const moved = async (): Promise<boolean> => {
      const now = await acked();
      return now.length > 0 && now.every((count, partition) => count > (before[partition] ?? 0));
    };
    await eventually(`${this.#name} is acknowledged records of every partition`, moved, timeoutMs).catch(
      async (error: unknown) => {
        const said = await this.#scenario.logs(`pod/${this.#name}`).catch(String);
        throw new Error(`${String(error)}\n${said}\n${JSON.stringify(await this.#ask('progress').catch(String))}`);
      },
    );
  }

  /** Says for how long partitions took nothing since gaps were counted anew. */
  async tellGaps(during: string): Promise<void> {
    const gaps = (await this.#ask('gaps')).longestGapMs;
    process.stdout.write(
      `        ${during}: longest time without an acknowledgement, by partition: ${gaps.join(', ')} ms\n`,
    );
  }

  /** Ends the writer. Rejects unless all that it was acknowledged is there in order and it had no fatal error. */
  async stopAndCheck(): Promise<WriterReport> {
    const outcome = await this.#ask('stop');
    await this.check(outcome);
    await this.#scenario.kubectl.run(['delete', 'pod', this.#name, '-n', this.#scenario.namespace, '--wait=false']);
    return outcome;
  }

  /** Reads everything. Rejects unless all that the writer was acknowledged is there in order and it had no fatal error. */
  async check(outcome: WriterReport): Promise<void> {
    const { bootstrap, topic } = this.#settings;
    const reader = await clientProgram('reader.js', bootstrap, topic);
    const printed = await this.#scenario.ask(`reader-of-${this.#name}`, reader, 240);
    const read = JSON.parse(printed.trim().split('\n').at(-1)!) as readonly ReadRecords[];
    const faults = faultsOf(outcome, read);
    if (faults.length > 0) throw new Error(`${this.#name}: ${faults.join('; ')}`);
  }

  /** By the API server's way to pods, which is there for every cluster. */
  async #ask(what: 'progress' | 'gaps' | 'stop'): Promise<WriterReport> {
    const { namespace, kubectl } = this.#scenario;
    const path = `/api/v1/namespaces/${namespace}/pods/${this.#name}:${port}/proxy/${what}`;
    return JSON.parse(await kubectl.run(['get', '--raw', path])) as WriterReport;
  }
}

/** What is wrong with what was read, given what the writer was told. */
export function faultsOf({ name, acked, fatal }: WriterReport, read: readonly ReadRecords[]): readonly string[] {
  const own = new Map(read.filter((records) => records.name === name).map((records) => [records.partition, records]));
  const lost = acked.flatMap((count, partition) => {
    const found = own.get(partition)?.inOrder ?? 0;
    return found < count ? [`partition ${partition} has ${found} of ${count} acknowledged records`] : [];
  });
  return [
    ...fatal,
    ...lost,
    ...[...own.values()].flatMap(({ partition, wrong }) => wrong.map((what) => `partition ${partition}: ${what}`)),
  ];
}

/** Restarts of the containers of pods. */
export const restarts = (pods: readonly PodStatus[]): number[] =>
  pods.map(({ status }) => status.containerStatuses?.[0]?.restartCount ?? 0);
