/** How far ownership is from what is assigned, as one broker's view of the cluster shows it: for metrics, no decision rests on it. */
import type { OwnershipView } from './ownership-view.ts';

export interface OwnershipCensus {
  /** Assigned to this incarnation, and owned by another or nobody. */
  readonly wanted: number;
  /** Owned by no living broker, in the whole cluster. */
  readonly unowned: number;
  /** Owned by a living broker and assigned to another living one, in the whole cluster. */
  readonly misplaced: number;
}

export function ownershipCensus(view: OwnershipView, incarnation: string): OwnershipCensus {
  let [wanted, unowned, misplaced] = [0, 0, 0];
  for (const { topicId, partitionCount } of view.topics()) {
    for (let partition = 0; partition < partitionCount; partition += 1) {
      const owner = view.partition(topicId, partition)?.owner ?? '';
      const assigned = view.assigned(topicId, partition);
      if (assigned === incarnation && owner !== incarnation) wanted += 1;
      if (owner === '' || view.brokerOf(owner) === undefined) unowned += 1;
      else if (assigned !== owner && view.brokerOf(assigned) !== undefined) misplaced += 1;
    }
  }
  return { wanted, unowned, misplaced };
}
