/**
 * The HorizontalPodAutoscaler. It scales the resource, never the Deployment: only so does the operator stand between what is wanted and
 * the pods that go, and drains first.
 */
import { apiVersion, clusterKind } from '../api/crd.ts';
import { kinds, type Child, type HorizontalPodAutoscaler } from '../kube/index.ts';
import { childOf, namesOf, type ClusterPlan } from './cluster-plan.ts';

/** Names under which the operator serves what brokers report, per cluster. */
export const externalMetrics = {
  targetBytesInPerSecond: 'kafscale_cluster_bytes_in_per_second',
  targetBytesOutPerSecond: 'kafscale_cluster_bytes_out_per_second',
} as const;

/** The label by which a metric names its cluster. */
export const clusterLabel = 'kafscale.io/cluster';

/** None where the resource does not ask for one. */
export function brokerAutoscaler(plan: ClusterPlan): Child<HorizontalPodAutoscaler> | undefined {
  const { autoscaling } = plan.spec.brokers;
  if (autoscaling === undefined) return undefined;
  const { minReplicas, maxReplicas, scaleDownPeriodSeconds, scaleDownStabilizationSeconds } = autoscaling;
  return childOf(plan, kinds.HorizontalPodAutoscaler, {
    component: 'broker',
    object: {
      metadata: { name: namesOf(plan.name).broker },
      spec: {
        scaleTargetRef: { apiVersion, kind: clusterKind.kind, name: plan.name },
        minReplicas,
        maxReplicas,
        metrics: metricsOf(plan, autoscaling),
        behavior: {
          scaleUp: {
            stabilizationWindowSeconds: 0,
            selectPolicy: 'Max',
            policies: [
              { type: 'Percent', value: 100, periodSeconds: 30 },
              { type: 'Pods', value: 2, periodSeconds: 30 },
            ],
          },
          scaleDown: {
            stabilizationWindowSeconds: scaleDownStabilizationSeconds,
            policies: [{ type: 'Pods', value: 1, periodSeconds: scaleDownPeriodSeconds }],
          },
        },
      },
    },
  });
}

function metricsOf(plan: ClusterPlan, autoscaling: NonNullable<ClusterPlan['spec']['brokers']['autoscaling']>) {
  const resource = (name: string, averageUtilization: number | undefined) =>
    averageUtilization === undefined
      ? []
      : [{ type: 'Resource', resource: { name, target: { type: 'Utilization', averageUtilization } } }];
  const external = (field: keyof typeof externalMetrics) =>
    autoscaling[field] === undefined
      ? []
      : [
          {
            type: 'External',
            external: {
              metric: { name: externalMetrics[field], selector: { matchLabels: { [clusterLabel]: plan.name } } },
              target: { type: 'AverageValue', averageValue: autoscaling[field] },
            },
          },
        ];
  return [
    ...resource('cpu', autoscaling.targetCPUUtilizationPercentage),
    ...resource('memory', autoscaling.targetMemoryUtilizationPercentage),
    ...external('targetBytesInPerSecond'),
    ...external('targetBytesOutPerSecond'),
  ];
}
