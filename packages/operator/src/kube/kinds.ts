/**
 * The built-in kinds that the operator works with. Their shapes are those of `@kubernetes/client-node`, turned back into the JSON of
 * the API: times are text, and names that the library had to escape have their own spelling. Only its types are used here.
 */
import type {
  EventsV1Event,
  V1ConfigMap,
  V1CronJob,
  V1CustomResourceDefinition,
  V1Deployment,
  V1Endpoints,
  V1EndpointSlice,
  V1Job,
  V1Lease,
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
  V1ReplicaSet,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
  V2HorizontalPodAutoscaler,
} from '@kubernetes/client-node';
import { defineKind, type ObjectMeta } from './kube-object.ts';

/** A type of the library as JSON. */
export type Json<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? readonly Json<Item>[]
    : T extends object
      ? { readonly [Key in keyof T as Key extends `_${infer Name}` ? Name : Key]: Json<T[Key]> }
      : T;

/** The same for an object with metadata, whose metadata is ours. */
export type JsonObject<T> = Omit<Json<T>, 'metadata'> & { readonly metadata?: ObjectMeta };

export type ConfigMap = JsonObject<V1ConfigMap>;
export type CronJob = JsonObject<V1CronJob>;
export type CustomResourceDefinition = JsonObject<V1CustomResourceDefinition>;
export type Deployment = JsonObject<V1Deployment>;
export type Endpoints = JsonObject<V1Endpoints>;
export type EndpointSlice = JsonObject<V1EndpointSlice>;
export type Event = JsonObject<EventsV1Event>;
export type HorizontalPodAutoscaler = JsonObject<V2HorizontalPodAutoscaler>;
export type Job = JsonObject<V1Job>;
export type Lease = JsonObject<V1Lease>;
export type Namespace = JsonObject<V1Namespace>;
export type NetworkPolicy = JsonObject<V1NetworkPolicy>;
export type Node = JsonObject<V1Node>;
export type PersistentVolumeClaim = JsonObject<V1PersistentVolumeClaim>;
export type Pod = JsonObject<V1Pod>;
export type PodDisruptionBudget = JsonObject<V1PodDisruptionBudget>;
export type ReplicaSet = JsonObject<V1ReplicaSet>;
export type Role = JsonObject<V1Role>;
export type RoleBinding = JsonObject<V1RoleBinding>;
export type Secret = JsonObject<V1Secret>;
export type Service = JsonObject<V1Service>;
export type ServiceAccount = JsonObject<V1ServiceAccount>;
export type StatefulSet = JsonObject<V1StatefulSet>;

const namespaced = true;

/** Every built-in kind by its name. */
export const kinds = {
  ConfigMap: defineKind<ConfigMap>({ apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced }),
  CronJob: defineKind<CronJob>({ apiVersion: 'batch/v1', kind: 'CronJob', plural: 'cronjobs', namespaced }),
  CustomResourceDefinition: defineKind<CustomResourceDefinition>({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    namespaced: false,
  }),
  Deployment: defineKind<Deployment>({ apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced }),
  Endpoints: defineKind<Endpoints>({ apiVersion: 'v1', kind: 'Endpoints', plural: 'endpoints', namespaced }),
  EndpointSlice: defineKind<EndpointSlice>({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    plural: 'endpointslices',
    namespaced,
  }),
  Event: defineKind<Event>({ apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced }),
  HorizontalPodAutoscaler: defineKind<HorizontalPodAutoscaler>({
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    plural: 'horizontalpodautoscalers',
    namespaced,
  }),
  Job: defineKind<Job>({ apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced }),
  Lease: defineKind<Lease>({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced }),
  Namespace: defineKind<Namespace>({ apiVersion: 'v1', kind: 'Namespace', plural: 'namespaces', namespaced: false }),
  NetworkPolicy: defineKind<NetworkPolicy>({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    plural: 'networkpolicies',
    namespaced,
  }),
  Node: defineKind<Node>({ apiVersion: 'v1', kind: 'Node', plural: 'nodes', namespaced: false }),
  PersistentVolumeClaim: defineKind<PersistentVolumeClaim>({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    plural: 'persistentvolumeclaims',
    namespaced,
  }),
  Pod: defineKind<Pod>({ apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced }),
  PodDisruptionBudget: defineKind<PodDisruptionBudget>({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    namespaced,
  }),
  ReplicaSet: defineKind<ReplicaSet>({ apiVersion: 'apps/v1', kind: 'ReplicaSet', plural: 'replicasets', namespaced }),
  Role: defineKind<Role>({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', plural: 'roles', namespaced }),
  RoleBinding: defineKind<RoleBinding>({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    plural: 'rolebindings',
    namespaced,
  }),
  Secret: defineKind<Secret>({ apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced }),
  Service: defineKind<Service>({ apiVersion: 'v1', kind: 'Service', plural: 'services', namespaced }),
  ServiceAccount: defineKind<ServiceAccount>({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    namespaced,
  }),
  StatefulSet: defineKind<StatefulSet>({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    plural: 'statefulsets',
    namespaced,
  }),
} as const;
