/** The APIs this broker serves: registering a handler here is advertising it. */
import { fetch } from '@kafscale/protocol';
import { alterClientQuotasHandler } from './alter-client-quotas.ts';
import { alterConfigsHandler } from './alter-configs.ts';
import { alterPartitionReassignmentsHandler } from './alter-partition-reassignments.ts';
import { alterUserScramCredentialsHandler } from './alter-user-scram-credentials.ts';
import { apiVersionsHandler } from './api-versions.ts';
import { createAclsHandler } from './create-acls.ts';
import { createPartitionsHandler } from './create-partitions.ts';
import { createTopicsHandler } from './create-topics.ts';
import type { Handler } from './define-handler.ts';
import { deleteAclsHandler } from './delete-acls.ts';
import { deleteGroupsHandler } from './delete-groups.ts';
import { deleteRecordsHandler } from './delete-records.ts';
import { deleteTopicsHandler } from './delete-topics.ts';
import { describeAclsHandler } from './describe-acls.ts';
import { describeClientQuotasHandler } from './describe-client-quotas.ts';
import { describeClusterHandler } from './describe-cluster.ts';
import { describeConfigsHandler } from './describe-configs.ts';
import { describeGroupsHandler } from './describe-groups.ts';
import { describeLogDirsHandler } from './describe-log-dirs.ts';
import { describeTopicPartitionsHandler } from './describe-topic-partitions.ts';
import { describeUserScramCredentialsHandler } from './describe-user-scram-credentials.ts';
import { electLeadersHandler } from './elect-leaders.ts';
import { fetchHandler } from './fetch.ts';
import { findCoordinatorHandler } from './find-coordinator.ts';
import { heartbeatHandler } from './heartbeat.ts';
import { incrementalAlterConfigsHandler } from './incremental-alter-configs.ts';
import { initProducerIdHandler } from './init-producer-id.ts';
import { joinGroupHandler } from './join-group.ts';
import { leaveGroupHandler } from './leave-group.ts';
import { listGroupsHandler } from './list-groups.ts';
import { listOffsetsHandler } from './list-offsets.ts';
import { listPartitionReassignmentsHandler } from './list-partition-reassignments.ts';
import { metadataHandler } from './metadata.ts';
import { offsetCommitHandler } from './offset-commit.ts';
import { offsetDeleteHandler } from './offset-delete.ts';
import { offsetFetchHandler } from './offset-fetch.ts';
import { offsetForLeaderEpochHandler } from './offset-for-leader-epoch.ts';
import { produceHandler } from './produce.ts';
import { saslAuthenticateHandler } from './sasl-authenticate.ts';
import { saslHandshakeHandler } from './sasl-handshake.ts';
import { syncGroupHandler } from './sync-group.ts';

export interface ServedApi {
  readonly handler: Handler<unknown, unknown>;
  /** First and last version that is advertised and answered, both included. */
  readonly minVersion: number;
  readonly maxVersion: number;
}

/** In the order of their keys; ApiVersions adds itself. */
export const handlers: readonly Handler<unknown, unknown>[] = [
  produceHandler,
  fetchHandler,
  listOffsetsHandler,
  metadataHandler,
  offsetCommitHandler,
  offsetFetchHandler,
  findCoordinatorHandler,
  joinGroupHandler,
  heartbeatHandler,
  leaveGroupHandler,
  syncGroupHandler,
  describeGroupsHandler,
  listGroupsHandler,
  saslHandshakeHandler,
  createTopicsHandler,
  deleteTopicsHandler,
  deleteRecordsHandler,
  initProducerIdHandler,
  offsetForLeaderEpochHandler,
  describeAclsHandler,
  createAclsHandler,
  deleteAclsHandler,
  describeConfigsHandler,
  alterConfigsHandler,
  describeLogDirsHandler,
  saslAuthenticateHandler,
  createPartitionsHandler,
  deleteGroupsHandler,
  electLeadersHandler,
  incrementalAlterConfigsHandler,
  alterPartitionReassignmentsHandler,
  listPartitionReassignmentsHandler,
  offsetDeleteHandler,
  describeClientQuotasHandler,
  alterClientQuotasHandler,
  describeUserScramCredentialsHandler,
  alterUserScramCredentialsHandler,
  describeClusterHandler,
  describeTopicPartitionsHandler,
];

/** Where not every declared version is served: Fetch 0-3 would need records in formats that are not stored. */
const firstServedVersions: ReadonlyMap<number, number> = new Map([[fetch.key, 4]]);

export class HandlerRegistry implements Iterable<ServedApi> {
  readonly #byKey: (ServedApi | undefined)[] = [];

  constructor(registered: readonly Handler<unknown, unknown>[]) {
    for (const handler of [...registered, apiVersionsHandler(this)]) {
      const { key, name, versions } = handler.api;
      if (this.#byKey[key] !== undefined) throw new Error(`${name} has two handlers`);
      this.#byKey[key] = {
        handler,
        minVersion: firstServedVersions.get(key) ?? versions[0],
        maxVersion: versions[1],
      };
    }
  }

  find(apiKey: number): ServedApi | undefined {
    return this.#byKey[apiKey];
  }

  /** In ascending order of keys. */
  *[Symbol.iterator](): Iterator<ServedApi> {
    for (const served of this.#byKey) if (served !== undefined) yield served;
  }
}
