/** Our own two kinds, as the runtime knows kinds. A spec is whatever the API server took: reconcilers parse it before they use it. */
import type { KafScaleClusterStatus } from '../api/cluster.ts';
import { apiVersion, clusterKind, topicKind } from '../api/crd.ts';
import type { KafScaleTopicStatus } from '../api/topic.ts';
import { defineKind, type KubeObject } from '../kube/index.ts';

export interface KafScaleCluster extends KubeObject {
  readonly spec?: unknown;
  readonly status?: KafScaleClusterStatus;
}

export interface KafScaleTopic extends KubeObject {
  readonly spec?: unknown;
  readonly status?: KafScaleTopicStatus;
}

export const clusterResource = defineKind<KafScaleCluster>({
  ...{ apiVersion, kind: clusterKind.kind, plural: clusterKind.plural, namespaced: true },
});

export const topicResource = defineKind<KafScaleTopic>({
  ...{ apiVersion, kind: topicKind.kind, plural: topicKind.plural, namespaced: true },
});
