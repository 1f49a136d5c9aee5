/**
 * How many brokers the Deployment asks for. The resource says what is wanted; a count that somebody set on the Deployment itself is known
 * by the annotation in which the operator notes what it set last. Fewer brokers are never a matter of this file: they are drained first.
 */
import type { Deployment, Stored } from '../../kube/index.ts';

/** On the Deployment: the count that the operator set last. */
export const replicasAnnotation = 'kafscale.io/replicas';

export type CountDecision =
  /** Apply this count; a lower one is reached step by step from here. `restored` is a count of somebody else's that is not to stay. */
  | { readonly type: 'apply'; readonly replicas: number; readonly restored?: number }
  /** Take the Deployment's count over into the resource, then look again. */
  | { readonly type: 'adopt'; readonly replicas: number };

/** The schema's own bound. */
const mostBrokers = 1_000;

export function decideCount(
  wanted: number,
  deployment: Stored<Deployment> | undefined,
  { isAutoscaled }: { readonly isAutoscaled: boolean },
): CountDecision {
  if (deployment === undefined) return { type: 'apply', replicas: wanted };
  const count = deployment.spec?.replicas ?? 1;
  const set = setLast(deployment) ?? count;
  const replicas = Math.max(count, wanted);
  if (count === set || count === wanted) return { type: 'apply', replicas };
  return isAutoscaled || count > mostBrokers
    ? { type: 'apply', replicas, restored: count }
    : { type: 'adopt', replicas: count };
}

function setLast({ metadata }: Stored<Deployment>): number | undefined {
  const text = metadata.annotations?.[replicasAnnotation];
  return text !== undefined && /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}
