/**
 * Whatever dies when: operators are killed before or after any of their writes and calls, and see some kinds late, while the wanted count
 * changes. A broker that Kubernetes takes away owns nothing then, and in the end as many run as are wanted, none of them marked.
 */
import fc from 'fast-check';
import { ControlCallError } from '../../brokers/control-client.ts';
import { isKubeError } from '../../kube/index.ts';
import { SimulatedCluster } from './simulated-cluster-fixture.ts';

const runs = Number(process.env['KAFSCALE_MODEL_RUNS'] ?? 15);

const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('look' as const) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('tick' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('late' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('die' as const), at: fc.nat(3), done: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cut' as const), call: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('scale' as const), to: fc.integer({ min: 1, max: 4 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('hold' as const), kind: fc.constantFrom('Pod', 'Deployment') }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('hear' as const) }) },
);
type Happening = typeof event extends fc.Arbitrary<infer Value> ? Value : never;

class Killed extends Error {}

async function look(cluster: SimulatedCluster): Promise<void> {
  try {
    await cluster.reconcile();
  } catch (error) {
    if (error instanceof Killed || isKubeError(error, 'unavailable')) cluster.startOperator();
    else if (!isKubeError(error, 'conflict')) throw error;
  } finally {
    cluster.client.onWrite = () => undefined;
    cluster.onCall = () => undefined;
  }
}

async function happen(cluster: SimulatedCluster, one: Happening): Promise<void> {
  switch (one.type) {
    case 'look':
      return look(cluster);
    case 'tick':
    case 'late':
      cluster.tick({ areControllersLate: one.type === 'late' });
      return cluster.clock.advanceAsync(1_000);
    case 'die': {
      let left = one.at;
      cluster.client.onWrite = () => ((left -= 1) < 0 ? (one.done ? 'after' : 'before') : undefined);
      return look(cluster);
    }
    case 'cut': {
      let left = one.call;
      cluster.onCall = () => {
        if ((left -= 1) < 0) throw new ControlCallError('unreachable', 'cut off');
      };
      return look(cluster);
    }
    case 'scale':
      return cluster.scale(one.to);
    case 'hold':
      return cluster.client.hold(one.kind);
    case 'hear':
      return cluster.client.letThrough();
  }
}

it('takes away only brokers that own nothing, whatever dies when, and reaches what is wanted', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 40 }), async (happenings) => {
      const cluster = await SimulatedCluster.start({ brokers: { replicas: 4, drainTimeoutSeconds: 600 } });
      try {
        await cluster.until('four brokers', () => cluster.condition('Ready')?.status === 'True');
        cluster.scale(2);
        for (const one of happenings) await happen(cluster, one);
        cluster.client.letThrough();
        const wanted = (cluster.resource.spec.brokers as { replicas: number }).replicas;
        const isReached = () =>
          cluster.pods().length === wanted &&
          cluster.leftovers().length === 0 &&
          cluster.deployment.spec.replicas === wanted;
        await cluster.until(`${wanted} brokers`, isReached, 120);
        const taken = cluster.removals.filter(({ by }) => by === 'scale-down');
        expect(taken.filter(({ owned, wasReady }) => owned > 0 && wasReady)).toEqual([]);
      } finally {
        await cluster.stop();
      }
    }),
    { numRuns: runs },
  );
}, 120_000);
