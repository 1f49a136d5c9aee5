/**
 * Takes the steps towards fewer brokers, one each time it is called. What it has to remember stands on the pods; in memory are only
 * pauses after attempts that failed, so that an operator that starts anew merely tries sooner.
 */
import { backoffDelayMs, type Clock, type Logger, type Random } from '@kafscale/runtime';
import type { BrokerCalls } from '../../brokers/broker-directory.ts';
import { ControlCallError } from '../../brokers/control-client.ts';
import { isKubeError, kinds, nameOf, type KubeClient, type ObjectName } from '../../kube/index.ts';
import type { OperatorMetrics } from '../../metrics/metrics.ts';
import type { ClusterEventReason } from '../operator-events.ts';
import { deletionCostAnnotation, drainingSinceAnnotation, lowestDeletionCost, type BrokerPod } from './broker-pod.ts';
import { ownedInEyesOf } from './ownership-witness.ts';
import { nextStep, type BlockedReason, type ScaleDownView, type Step } from './scale-down.ts';

export interface ScaleDownDeps {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Pick<OperatorMetrics, 'scaleDowns' | 'drainSeconds'>;
  readonly logger: Logger;
}

/** The cluster that is to have fewer brokers, and how its things are reached. */
export interface ScaleDownTarget {
  readonly cluster: ObjectName & { readonly namespace: string };
  readonly uid: string;
  readonly signal: AbortSignal;
  /** Undefined for a pod without an address. */
  readonly brokerOf: (pod: BrokerPod) => BrokerCalls | undefined;
  /** Has the Deployment ask for so many, unless somebody changed it meanwhile. */
  readonly lower: (to: number) => Promise<void>;
  readonly report: (reason: ClusterEventReason, note: string) => void;
}

export interface StepTaken {
  /** For the status: what is done, or what is in the way. */
  readonly step: Step;
  /** To be called again after so long; undefined when only a change can bring it on. */
  readonly requeueAfterMs?: number;
}

interface Pause {
  readonly failures: number;
  readonly untilMs: number;
  readonly because: BlockedReason;
  readonly message: string;
}

/** One call of a drain: short, so that whoever takes the lease finds nothing under way; calling again goes on. */
const drainCallSeconds = 5;
const soonMs = 250;
const laterMs = 2_000;
/** After attempts that failed; the first comes after half a minute or less. */
const pauses = { baseMs: 30_000, maxMs: 600_000 };

export class ScaleDownExecutor {
  readonly #deps: ScaleDownDeps;
  readonly #logger: Logger;
  /** By uid of the cluster. */
  readonly #pauses = new Map<string, Pause>();

  constructor(deps: ScaleDownDeps) {
    this.#deps = deps;
    this.#logger = deps.logger.child({ component: 'scale-down' });
  }

  /** Takes the next step. Throws KubeError, `conflict` among them when what it looked at is no longer so. */
  async advance(target: ScaleDownTarget, view: ScaleDownView): Promise<StepTaken> {
    const step = nextStep(view);
    if (view.wanted >= view.replicas) this.#pauses.delete(target.uid);
    target.signal.throwIfAborted();
    switch (step.type) {
      case 'nothing':
        return { step };
      case 'wait':
      case 'blocked':
        return { step, requeueAfterMs: laterMs };
      case 'mark':
        return this.#mark(target, view, step);
      case 'drain':
        return this.#drain(target, step);
      case 'release':
        return this.#release(target, step);
      case 'lower':
        return this.#lower(target, view, step);
    }
  }

  forget(uid: string): void {
    this.#pauses.delete(uid);
  }

  async #mark(
    target: ScaleDownTarget,
    { wanted, replicas, isForced }: ScaleDownView,
    step: Extract<Step, { type: 'mark' }>,
  ): Promise<StepTaken> {
    const { clock } = this.#deps;
    const { pod } = step;
    const pause = this.#pauses.get(target.uid);
    const leftMs = pause === undefined || isForced ? 0 : pause.untilMs - clock.monotonicMs();
    // One that is not ready was not tried before, and Kubernetes takes it first anyway.
    if (pause !== undefined && leftMs > 0 && pod.isReady) {
      return { step: { type: 'blocked', reason: pause.because, message: pause.message }, requeueAfterMs: leftMs };
    }
    await this.#annotate(target, pod, {
      [drainingSinceAnnotation]: new Date(clock.wallMs()).toISOString(),
      [deletionCostAnnotation]: lowestDeletionCost,
    });
    target.report(
      'BrokerDraining',
      `${pod.name} is to go, from ${replicas} brokers to ${wanted}: it hands over what it owns`,
    );
    return { step, requeueAfterMs: soonMs };
  }

  async #drain(target: ScaleDownTarget, step: Extract<Step, { type: 'drain' }>): Promise<StepTaken> {
    const broker = target.brokerOf(step.pod);
    if (broker === undefined) return { step, requeueAfterMs: laterMs };
    const reason = 'fewer brokers are wanted';
    try {
      await broker.setCordon({ cordoned: true, reason });
      target.signal.throwIfAborted();
      const outcome = await broker.drain({ partitions: [], reason, deadlineSeconds: drainCallSeconds });
      const pending = outcome.pending.length + outcome.pendingCoordinatorShards;
      this.#logger.info({ pod: step.pod.name, drained: outcome.drained.length, pending }, 'broker hands over');
      return { step, requeueAfterMs: pending === 0 ? 1 : soonMs };
    } catch (error) {
      this.#tell(error, step.pod);
      return { step, requeueAfterMs: laterMs };
    }
  }

  /** First the broker takes partitions again, then its marks go: the other way round nobody would know that it is cordoned. */
  async #release(target: ScaleDownTarget, step: Extract<Step, { type: 'release' }>): Promise<StepTaken> {
    const { because } = step;
    for (const pod of step.pods) {
      const isBack = await this.#uncordon(target, pod);
      // One that does not answer and is not ready starts anew, or never comes back; until then its marks harm nobody.
      if (!isBack && pod.isReady) return { step, requeueAfterMs: laterMs };
      await this.#annotate(target, pod, { [drainingSinceAnnotation]: null, [deletionCostAnnotation]: null });
      if (because === undefined) target.report('BrokerStays', `${pod.name} stays: it takes partitions again`);
      else this.#failed(target, pod, because);
    }
    return { step, requeueAfterMs: soonMs };
  }

  async #uncordon(target: ScaleDownTarget, pod: BrokerPod): Promise<boolean> {
    try {
      await target.brokerOf(pod)?.setCordon({ cordoned: false, reason: 'it may stay' });
      return true;
    } catch (error) {
      this.#tell(error, pod);
      // It is stopping: nothing can be taken back.
      return error instanceof ControlCallError && error.kind === 'not-possible';
    }
  }

  #failed(target: ScaleDownTarget, pod: BrokerPod, because: BlockedReason): void {
    const { clock, random, metrics } = this.#deps;
    const failures = this.#pauses.get(target.uid)?.failures ?? 0;
    const half = { baseMs: pauses.baseMs / 2, maxMs: pauses.maxMs / 2 };
    const delayMs =
      Math.min(half.maxMs, half.baseMs * 2 ** Math.min(failures, 20)) + backoffDelayMs(failures, half, random);
    const message = `${pod.name} could not go and stays; trying again`;
    this.#pauses.set(target.uid, { failures: failures + 1, untilMs: clock.monotonicMs() + delayMs, because, message });
    metrics.scaleDowns.inc({ result: because === 'DrainTimedOut' ? 'timed_out' : 'not_answering' });
    if (because === 'DrainTimedOut')
      target.report('DrainTimedOut', `${pod.name} could not hand everything over in time`);
    else target.report('BrokerNotAnswering', `the control port of ${pod.name} did not answer in time`);
  }

  async #lower(
    target: ScaleDownTarget,
    view: ScaleDownView,
    step: Extract<Step, { type: 'lower' }>,
  ): Promise<StepTaken> {
    const { clock, metrics } = this.#deps;
    const victim = view.pods.find(
      ({ drainingSinceMs, isTerminating }) => drainingSinceMs !== undefined && !isTerminating,
    );
    const sinceMs = victim?.drainingSinceMs ?? clock.wallMs();
    const isLate = clock.wallMs() - sinceMs >= view.drainTimeoutMs;
    const mayGo =
      victim === undefined || (isLate && view.isForced) || (await this.#isEmpty(target, view, step, victim));
    if (!mayGo) {
      if (!isLate) return { step: { type: 'drain', pod: victim }, requeueAfterMs: laterMs };
      return this.#release(target, { type: 'release', pods: [victim], because: 'DrainTimedOut' });
    }
    target.signal.throwIfAborted();
    await target.lower(step.to);
    this.#pauses.delete(target.uid);
    const status = victim && view.statusOf(victim);
    const isForced = victim !== undefined && view.replicas > 1 && victim.isReady && !hasHandedOver(status);
    metrics.scaleDowns.inc({ result: isForced ? 'forced' : 'removed' });
    if (victim !== undefined) metrics.drainSeconds.observe(Math.max(0, clock.wallMs() - sinceMs) / 1_000);
    const who = victim === undefined ? 'a pod that never came' : victim.name;
    target.report(
      isForced ? 'ScaleDownForced' : 'ScaledDown',
      `from ${view.replicas} brokers to ${step.to}: ${who} goes`,
    );
    return { step, requeueAfterMs: laterMs };
  }

  /** The last broker has stored what it holds; any other owns nothing, also in the eyes of one that stays. */
  async #isEmpty(
    target: ScaleDownTarget,
    { pods, statusOf }: ScaleDownView,
    { flushFirst }: Extract<Step, { type: 'lower' }>,
    victim: BrokerPod,
  ): Promise<boolean> {
    if (flushFirst !== undefined) return this.#flush(target, flushFirst);
    const status = statusOf(victim);
    const stays = pods.find((pod) => pod.uid !== victim.uid && pod.isReady && statusOf(pod) !== undefined);
    const witness = stays && target.brokerOf(stays);
    if (status === undefined || stays === undefined || witness === undefined) return true;
    const { clock } = this.#deps;
    const owned = await ownedInEyesOf(witness, status.brokerId, { clock, signal: target.signal });
    if (owned === undefined || owned === 0) return true;
    this.#logger.info({ pod: victim.name, owned, witness: stays.name }, 'another broker still sees it as an owner');
    return false;
  }

  async #flush(target: ScaleDownTarget, pod: BrokerPod): Promise<boolean> {
    try {
      await target.brokerOf(pod)?.flush({ partitions: [], allAssigned: true });
      return true;
    } catch (error) {
      this.#tell(error, pod);
      return false;
    }
  }

  /** On this very pod, whatever took its name meanwhile. One that is gone needs no marks. */
  async #annotate(
    { cluster: { namespace }, signal }: ScaleDownTarget,
    { name, uid }: BrokerPod,
    annotations: Readonly<Record<string, string | null>>,
  ): Promise<void> {
    try {
      const at = nameOf({ metadata: { namespace, name } });
      await this.#deps.client.patch(kinds.Pod, at, { metadata: { uid, annotations } }, { signal });
    } catch (error) {
      if (!isKubeError(error, 'not-found')) throw error;
    }
  }

  #tell(error: unknown, { name }: BrokerPod): void {
    if (!(error instanceof ControlCallError)) throw error;
    this.#logger.info({ err: error, pod: name }, 'broker did not do as it was asked; asking again');
  }
}

const hasHandedOver = (status: ReturnType<ScaleDownView['statusOf']>): boolean =>
  status !== undefined && status.cordoned && status.partitions.length === 0 && status.coordinatorShards.length === 0;
