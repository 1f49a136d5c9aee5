/** The CronJob that takes snapshots of a managed etcd into the cluster's bucket, with our own image. */
import type { ManagedEtcdSpec } from '../api/cluster.ts';
import { kinds, type Child, type CronJob } from '../kube/index.ts';
import { clusterIdOf, etcdEndpoints } from './broker-environment.ts';
import { brokerImage } from './brokers.ts';
import { childOf, labelsOf, namesOf, type ClusterPlan } from './cluster-plan.ts';
import { environmentOf } from './etcd.ts';
import { containerSecurityContext, podSecurityContext } from './pod-security.ts';

const component = 'etcd-snapshot' as const;

/** A run that could not begin for so long is left out; the next one comes. */
const startingDeadlineSeconds = 600;
const activeDeadlineSeconds = 1_800;
const retries = 2;

export function etcdSnapshotCronJob(plan: ClusterPlan, { snapshots }: ManagedEtcdSpec): Child<CronJob> {
  const { pullPolicy = plan.operator.brokerPullPolicy, pullSecrets = [] } = plan.spec.brokers.image ?? {};
  const labels = labelsOf(plan, component);
  return childOf(plan, kinds.CronJob, {
    component,
    object: {
      metadata: { name: namesOf(plan.name).etcdSnapshot },
      spec: {
        schedule: snapshots.schedule,
        suspend: snapshots.suspend,
        concurrencyPolicy: 'Forbid',
        startingDeadlineSeconds,
        // Their pods say which snapshot they took.
        successfulJobsHistoryLimit: 1,
        failedJobsHistoryLimit: 2,
        jobTemplate: {
          metadata: { labels },
          spec: {
            backoffLimit: retries,
            activeDeadlineSeconds,
            template: {
              metadata: { labels },
              spec: {
                restartPolicy: 'Never',
                serviceAccountName: namesOf(plan.name).etcd,
                automountServiceAccountToken: false,
                enableServiceLinks: false,
                securityContext: podSecurityContext,
                ...(pullSecrets.length > 0 && { imagePullSecrets: pullSecrets }),
                containers: [
                  {
                    name: 'snapshot',
                    image: brokerImage(plan),
                    ...(pullPolicy && { imagePullPolicy: pullPolicy }),
                    args: [
                      'etcd-snapshot',
                      ...['--endpoints', etcdEndpoints(plan).join(',')],
                      ...['--cluster', clusterIdOf(plan)],
                      ...['--keep', String(snapshots.keep)],
                      ...['--report', '/dev/termination-log'],
                    ],
                    env: environmentOf(plan),
                    resources: { requests: { cpu: '100m', memory: '192Mi' }, limits: { memory: '512Mi' } },
                    securityContext: containerSecurityContext,
                    volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
                  },
                ],
                volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '64Mi' } }],
              },
            },
          },
        },
      },
    },
  });
}
