/** The runtime that reconcilers rest on. Nothing outside this folder talks to a Kubernetes API server. */
export {
  appliedAnnotation,
  child,
  Children,
  ChildRefused,
  instanceLabel,
  managedByLabel,
  type Child,
  type ChildCache,
  type ChildOutcome,
  type ChildrenSettings,
  type Owner,
} from './apply/children.ts';
export { differences, type Difference } from './apply/differences.ts';
export { StatusWriter } from './apply/status-writer.ts';
export {
  Controller,
  mappedSource,
  ownedSource,
  ownSource,
  settledResult,
  specChanged,
  type ControllerSettings,
  type Reconcile,
  type ReconcileContext,
  type ReconcileResult,
  type Source,
} from './controller.ts';
export { EventRecorder, type EventNote, type EventRecorderSettings } from './events.ts';
export { Informer, type ChangeHandler, type InformerSettings } from './informer.ts';
export { LeaderElection, type LeaderElectionSettings } from './leader-election.ts';
export { labelIndex, ObjectCache, type CacheChange, type IndexFunction } from './object-cache.ts';
export { RateLimit } from './rate-limit.ts';
export { WorkQueue, type QueueMetrics, type WorkQueueSettings } from './work-queue.ts';
export { WatchedKind } from './watched-kind.ts';
export { fencedClient, WriteFence } from './write-fence.ts';
export { boundedName, isDnsLabel, isObjectName, longestLabel } from './names.ts';
export { compareQuantities, parseQuantity, quantityUnits, sameQuantity } from './quantity.ts';
export {
  findCondition,
  isConditionTrue,
  microTime,
  wholeSecond,
  withConditions,
  type Condition,
  type ConditionStatus,
  type Observation,
} from './conditions.ts';
export { inClusterAccess, kubeconfigAccess, type ClusterAccess } from './cluster-access.ts';
export { createKubeClient, type KubeClientSettings } from './create-kube-client.ts';
export {
  fieldManager,
  type ApplyOptions,
  type CallOptions,
  type DeleteOptions,
  type KubeClient,
  type KubeList,
  type ListOptions,
  type PatchType,
  type Scale,
  type SetScaleOptions,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
} from './kube-client.ts';
export { isKubeError, KubeError, type KubeErrorCause, type KubeErrorKind } from './kube-error.ts';
export {
  defineKind,
  describeObject,
  groupOf,
  nameOf,
  objectKey,
  parseObjectKey,
  type Desired,
  type Kind,
  type KubeObject,
  type ObjectMeta,
  type ObjectName,
  type OwnerReference,
  type Stored,
  type StoredMeta,
} from './kube-object.ts';
export {
  kinds,
  type ConfigMap,
  type CronJob,
  type CustomResourceDefinition,
  type Deployment,
  type Endpoints,
  type EndpointSlice,
  type Event,
  type HorizontalPodAutoscaler,
  type Job,
  type Json,
  type JsonObject,
  type Lease,
  type Namespace,
  type NetworkPolicy,
  type Node,
  type PersistentVolumeClaim,
  type Pod,
  type PodDisruptionBudget,
  type ReplicaSet,
  type Role,
  type RoleBinding,
  type Secret,
  type Service,
  type ServiceAccount,
  type StatefulSet,
} from './kinds.ts';
export { controllerOf, controllerReference, isControlledBy } from './owner-references.ts';
