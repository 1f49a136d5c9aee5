/** An etcd that somebody else runs: nothing is made for it, and how it does is what the brokers say. */
import type { BrokerStatus } from '@kafscale/protocol';
import type { EtcdState } from './cluster-status.ts';
import type { EtcdOutcome, EtcdReconciler } from './etcd-reconciler.ts';

export const externalEtcd: EtcdReconciler = {
  reconcile: (_owner, _plan, { brokers }) => Promise.resolve(externalEtcdOutcome(brokers)),
  forget: () => undefined,
};

export const externalEtcdOutcome = (brokers: readonly BrokerStatus[]): EtcdOutcome => ({
  state: stateOf(brokers),
  snapshot: { reason: 'NotManaged', message: 'whoever runs this etcd takes its snapshots' },
});

function stateOf(brokers: readonly BrokerStatus[]): EtcdState {
  if (brokers.length === 0) return { isManaged: false, reason: 'Unknown', message: 'no broker has reported yet' };
  const cutOff = brokers.filter(({ metadataStoreReachable }) => !metadataStoreReachable).length;
  if (cutOff === 0) return { isManaged: false, reason: 'Answering', message: 'every broker reaches it' };
  return cutOff === brokers.length
    ? { isManaged: false, reason: 'NotAnswering', message: 'no broker reaches it' }
    : { isManaged: false, reason: 'Answering', message: `${cutOff} of ${brokers.length} brokers do not reach it` };
}
