/** `kafscale etcd-prepare`: what runs before etcd in each pod of a managed etcd. */
import { openBucket } from '@kafscale/broker';
import {
  addressesOf,
  connectEtcd,
  fetchSnapshot,
  listenUrls,
  memberPlanSchema,
  memberPodSchema,
  prepareMember,
} from '@kafscale/operator';
import { createLogger, cryptoRandom, loadConfig, runProgram, systemClock } from '@kafscale/runtime';
import { readFile } from 'node:fs/promises';
import { bucketConfig, explained } from '../maintenance-config.ts';
import { CommandError } from '../output.ts';

export interface EtcdPrepareOptions {
  readonly plan: string;
  readonly folder: string;
  readonly member?: string;
}

const restoreTimeoutMs = 600_000;

export async function etcdPrepare({ plan: planFile, folder, member }: EtcdPrepareOptions): Promise<void> {
  const { config: pod } = loadConfig(memberPodSchema);
  const name = member ?? pod.member;
  if (name === undefined) throw new CommandError('Name the member with --member, or set POD_NAME.');
  const plan = memberPlanSchema.safeParse(JSON.parse(await readFile(planFile, 'utf8')));
  if (!plan.success) throw new CommandError(`${planFile} is not what the operator writes: ${plan.error.message}`);
  const logger = createLogger({ level: 'info', format: 'json' });
  const dependencies = { clock: systemClock, random: cryptoRandom, logger };
  try {
    await prepareMember(
      { plan: plan.data, member: name, folder, listen: listenUrls(pod.podIp) },
      {
        ...{ clock: systemClock, logger, connect: connectEtcd(systemClock) },
        async fetchSnapshot(key, file) {
          const config = bucketConfig([addressesOf(plan.data).client(0)]);
          await explained(config, async () => {
            const store = await openBucket(config, dependencies);
            await fetchSnapshot(store, key, file).finally(() => store.close());
          });
        },
        etcdutl: (args) => runProgram(pod.etcdutl, args, { timeoutMs: restoreTimeoutMs }).then(() => undefined),
      },
    );
  } catch (error) {
    throw error instanceof Error && error.name === 'MemberNotReady'
      ? new CommandError(error.message, { cause: error })
      : error;
  }
}
