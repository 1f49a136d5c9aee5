/**
 * Who may connect to what: clients to the Kafka port from anywhere, the control port for the operator alone, etcd for those who keep
 * metadata in it. Outgoing connections are not limited, as nobody here knows where the bucket is.
 */
import { kinds, type Child, type NetworkPolicy } from '../kube/index.ts';
import { childOf, namesOf, ports, selectorOf, type ClusterPlan } from './cluster-plan.ts';

const tcp = (...numbers: readonly number[]) => numbers.map((port) => ({ protocol: 'TCP', port }));

const operatorPods = ({ operator }: ClusterPlan) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': operator.namespace } },
  podSelector: { matchLabels: operator.podLabels },
});

export function brokerNetworkPolicy(plan: ClusterPlan): Child<NetworkPolicy> {
  return childOf(plan, kinds.NetworkPolicy, {
    component: 'broker',
    object: {
      metadata: { name: namesOf(plan.name).broker },
      spec: {
        podSelector: { matchLabels: selectorOf(plan, 'broker') },
        policyTypes: ['Ingress'],
        ingress: [
          { ports: tcp(ports.kafka, ports.metrics) },
          { from: [operatorPods(plan)], ports: tcp(ports.control) },
        ],
      },
    },
  });
}

/** Of a managed etcd. */
export function etcdNetworkPolicy(plan: ClusterPlan): Child<NetworkPolicy> {
  const podsOf = (component: 'broker' | 'etcd' | 'etcd-snapshot') => ({
    podSelector: { matchLabels: selectorOf(plan, component) },
  });
  return childOf(plan, kinds.NetworkPolicy, {
    component: 'etcd',
    object: {
      metadata: { name: namesOf(plan.name).etcd },
      spec: {
        podSelector: { matchLabels: selectorOf(plan, 'etcd') },
        policyTypes: ['Ingress'],
        ingress: [
          {
            from: [podsOf('broker'), podsOf('etcd'), podsOf('etcd-snapshot'), operatorPods(plan)],
            ports: tcp(ports.etcdClient),
          },
          { from: [podsOf('etcd')], ports: tcp(ports.etcdPeer) },
          { ports: tcp(ports.etcdMetrics) },
        ],
      },
    },
  });
}
