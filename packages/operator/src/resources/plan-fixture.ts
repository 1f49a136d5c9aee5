/** A cluster to make objects from in tests. */
import type { z } from 'zod';
import { clusterSchema } from '../api/cluster.ts';
import type { ClusterPlan } from './cluster-plan.ts';

export type SpecInput = z.input<typeof clusterSchema.spec>;

export function planOf(spec: Partial<SpecInput> = {}): ClusterPlan {
  return {
    name: 'kafscale',
    namespace: 'shop',
    spec: clusterSchema.spec.parse({ s3: { bucket: 'records', region: 'eu-west-1' }, ...spec }),
    operator: {
      namespace: 'kafscale-system',
      podLabels: { 'app.kubernetes.io/name': 'kafscale-operator' },
      metricsEndpoint: 'kafscale-operator.kafscale-system.svc:9095',
      images: { broker: 'kafscale/kafscale:0.1.0', etcd: 'kafscale/etcd:3.6.16' },
      version: '0.1.0',
    },
  };
}
