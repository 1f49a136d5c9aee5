// Every error code of the Kafka protocol, as of Kafka 4.3: the one table from which codes, names, retriability and
// texts are taken. `retriable` is what Kafka's own client does with the code. Raising one is kafka-error.ts.

interface ErrorEntry<Code extends number> {
  readonly code: Code;
  readonly retriable: boolean;
  readonly message: string;
}

/** A client that sends the same request again gets the same answer. */
const fatal = <Code extends number>(code: Code, message: string): ErrorEntry<Code> => ({
  code,
  retriable: false,
  message,
});

/** A client may send the same request again, at once or after refreshing its metadata. */
const retriable = <Code extends number>(code: Code, message: string): ErrorEntry<Code> => ({
  code,
  retriable: true,
  message,
});

const table = {
  UNKNOWN_SERVER_ERROR: fatal(-1, 'The broker met an unexpected error.'),
  NONE: fatal(0, 'No error.'),
  OFFSET_OUT_OF_RANGE: fatal(1, 'The offset lies outside the range the partition holds.'),
  CORRUPT_MESSAGE: retriable(2, 'The record batch is corrupt: its checksum, its size or its contents do not agree.'),
  UNKNOWN_TOPIC_OR_PARTITION: retriable(3, 'There is no such topic or partition here.'),
  INVALID_FETCH_SIZE: fatal(4, 'The fetch size is not valid.'),
  LEADER_NOT_AVAILABLE: retriable(5, 'The partition has no leader at the moment.'),
  NOT_LEADER_OR_FOLLOWER: retriable(6, 'This broker does not serve the partition.'),
  REQUEST_TIMED_OUT: retriable(7, 'The request was not completed in time.'),
  BROKER_NOT_AVAILABLE: fatal(8, 'The broker is not available.'),
  REPLICA_NOT_AVAILABLE: retriable(9, 'The replica of the partition is not available.'),
  MESSAGE_TOO_LARGE: fatal(10, 'The record batch is larger than the topic allows.'),
  STALE_CONTROLLER_EPOCH: fatal(11, 'The controller has moved to another broker.'),
  OFFSET_METADATA_TOO_LARGE: fatal(12, 'The metadata text of the committed offset is too large.'),
  NETWORK_EXCEPTION: retriable(13, 'The connection ended before the answer arrived.'),
  COORDINATOR_LOAD_IN_PROGRESS: retriable(14, 'The coordinator is still loading its state.'),
  COORDINATOR_NOT_AVAILABLE: retriable(15, 'The coordinator is not available.'),
  NOT_COORDINATOR: retriable(16, 'This broker is not the coordinator.'),
  INVALID_TOPIC_EXCEPTION: fatal(17, 'The topic is not valid for this operation.'),
  RECORD_LIST_TOO_LARGE: fatal(18, 'The record batch is larger than a segment may be.'),
  NOT_ENOUGH_REPLICAS: retriable(19, 'Fewer replicas are in sync than the topic demands.'),
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: retriable(20, 'The records were written, but to fewer replicas than demanded.'),
  INVALID_REQUIRED_ACKS: fatal(21, 'The required acknowledgements must be -1, 0 or 1.'),
  ILLEGAL_GENERATION: fatal(22, 'The generation is not the current one of the group.'),
  INCONSISTENT_GROUP_PROTOCOL: fatal(23, 'The protocols of the member do not fit those of the group.'),
  INVALID_GROUP_ID: fatal(24, 'The group id is not valid.'),
  UNKNOWN_MEMBER_ID: fatal(25, 'The group has no such member.'),
  INVALID_SESSION_TIMEOUT: fatal(26, 'The session timeout is outside the range the broker allows.'),
  REBALANCE_IN_PROGRESS: fatal(27, 'The group is rebalancing; the member has to join again.'),
  INVALID_COMMIT_OFFSET_SIZE: fatal(28, 'The offset commit is too large.'),
  TOPIC_AUTHORIZATION_FAILED: fatal(29, 'Access to the topic is not allowed.'),
  GROUP_AUTHORIZATION_FAILED: fatal(30, 'Access to the group is not allowed.'),
  CLUSTER_AUTHORIZATION_FAILED: fatal(31, 'The operation on the cluster is not allowed.'),
  INVALID_TIMESTAMP: fatal(32, 'The timestamp of a record is outside the allowed range.'),
  UNSUPPORTED_SASL_MECHANISM: fatal(33, 'The SASL mechanism is not offered.'),
  ILLEGAL_SASL_STATE: fatal(34, 'The request does not fit the state of the SASL exchange.'),
  UNSUPPORTED_VERSION: fatal(35, 'This version of the request is not supported.'),
  TOPIC_ALREADY_EXISTS: fatal(36, 'A topic of this name exists already.'),
  INVALID_PARTITIONS: fatal(37, 'The number of partitions is not valid.'),
  INVALID_REPLICATION_FACTOR: fatal(38, 'The replication factor is below 1 or above the number of brokers.'),
  INVALID_REPLICA_ASSIGNMENT: fatal(39, 'The replica assignment is not valid.'),
  INVALID_CONFIG: fatal(40, 'The configuration is not valid.'),
  NOT_CONTROLLER: retriable(41, 'This broker is not the controller.'),
  INVALID_REQUEST: fatal(42, 'The request is malformed, or makes no sense to this broker.'),
  UNSUPPORTED_FOR_MESSAGE_FORMAT: fatal(43, 'The record format does not support this request.'),
  POLICY_VIOLATION: fatal(44, 'The request breaks a policy of this cluster.'),
  OUT_OF_ORDER_SEQUENCE_NUMBER: fatal(45, 'The sequence number does not follow the last one of this producer.'),
  DUPLICATE_SEQUENCE_NUMBER: fatal(46, 'The sequence number has been used already.'),
  INVALID_PRODUCER_EPOCH: fatal(47, 'The epoch of the producer is an old one.'),
  INVALID_TXN_STATE: fatal(48, 'The transaction is not in a state that allows this.'),
  INVALID_PRODUCER_ID_MAPPING: fatal(49, 'The producer id does not belong to this transactional id.'),
  INVALID_TRANSACTION_TIMEOUT: fatal(50, 'The transaction timeout is above the maximum of the broker.'),
  CONCURRENT_TRANSACTIONS: retriable(51, 'Another operation on the same transaction is still running.'),
  TRANSACTION_COORDINATOR_FENCED: fatal(52, 'The sender no longer coordinates this transaction.'),
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: fatal(53, 'Access to the transactional id is not allowed.'),
  SECURITY_DISABLED: fatal(54, 'Security is not enabled on this cluster.'),
  OPERATION_NOT_ATTEMPTED: fatal(55, 'The operation was not attempted, because another of the same request failed.'),
  KAFKA_STORAGE_ERROR: retriable(56, 'The storage of the log failed.'),
  LOG_DIR_NOT_FOUND: fatal(57, 'The broker has no such log directory.'),
  SASL_AUTHENTICATION_FAILED: fatal(58, 'Authentication failed.'),
  UNKNOWN_PRODUCER_ID: fatal(59, 'The partition knows nothing of this producer id.'),
  REASSIGNMENT_IN_PROGRESS: fatal(60, 'A reassignment of the partition is running.'),
  DELEGATION_TOKEN_AUTH_DISABLED: fatal(61, 'Delegation tokens are not enabled.'),
  DELEGATION_TOKEN_NOT_FOUND: fatal(62, 'There is no such delegation token.'),
  DELEGATION_TOKEN_OWNER_MISMATCH: fatal(63, 'The principal may neither own nor renew this delegation token.'),
  DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: fatal(64, 'Delegation tokens cannot be requested over this connection.'),
  DELEGATION_TOKEN_AUTHORIZATION_FAILED: fatal(65, 'Access to the delegation token is not allowed.'),
  DELEGATION_TOKEN_EXPIRED: fatal(66, 'The delegation token has expired.'),
  INVALID_PRINCIPAL_TYPE: fatal(67, 'Principals of this type are not supported.'),
  NON_EMPTY_GROUP: fatal(68, 'The group still has members.'),
  GROUP_ID_NOT_FOUND: fatal(69, 'There is no such group.'),
  FETCH_SESSION_ID_NOT_FOUND: retriable(70, 'There is no such fetch session.'),
  INVALID_FETCH_SESSION_EPOCH: retriable(71, 'The epoch does not follow the last one of the fetch session.'),
  LISTENER_NOT_FOUND: retriable(72, 'The leader has no listener that matches the one this request came through.'),
  TOPIC_DELETION_DISABLED: fatal(73, 'Topics cannot be deleted on this cluster.'),
  FENCED_LEADER_EPOCH: retriable(74, 'The leader epoch of the request is older than the current one.'),
  UNKNOWN_LEADER_EPOCH: retriable(75, 'The leader epoch of the request is newer than the current one.'),
  UNSUPPORTED_COMPRESSION_TYPE: fatal(76, 'The compression codec is not supported by this version of the request.'),
  STALE_BROKER_EPOCH: fatal(77, 'The epoch of the broker has changed.'),
  OFFSET_NOT_AVAILABLE: retriable(78, 'The new leader cannot vouch for its offsets yet.'),
  MEMBER_ID_REQUIRED: fatal(79, 'The member has to join again with the member id it was given.'),
  PREFERRED_LEADER_NOT_AVAILABLE: retriable(80, 'The preferred leader is not available.'),
  GROUP_MAX_SIZE_REACHED: fatal(81, 'The group is full.'),
  FENCED_INSTANCE_ID: fatal(82, 'Another member has taken over this group instance id.'),
  ELIGIBLE_LEADERS_NOT_AVAILABLE: retriable(83, 'No replica of the partition may become its leader.'),
  ELECTION_NOT_NEEDED: retriable(84, 'The partition needs no election.'),
  NO_REASSIGNMENT_IN_PROGRESS: fatal(85, 'No reassignment of the partition is running.'),
  GROUP_SUBSCRIBED_TO_TOPIC: fatal(86, 'The group is subscribed to the topic, so its offsets cannot be deleted.'),
  INVALID_RECORD: fatal(87, 'The record breaks a rule of the broker.'),
  UNSTABLE_OFFSET_COMMIT: retriable(88, 'Offset commits of a transaction are still open.'),
  THROTTLING_QUOTA_EXCEEDED: retriable(89, 'The quota is exhausted.'),
  PRODUCER_FENCED: fatal(90, 'A newer producer uses the same transactional id.'),
  RESOURCE_NOT_FOUND: fatal(91, 'The request names something that does not exist.'),
  DUPLICATE_RESOURCE: fatal(92, 'The request names the same thing twice.'),
  UNACCEPTABLE_CREDENTIAL: fatal(93, 'The credential does not meet the demands of the broker.'),
  INCONSISTENT_VOTER_SET: fatal(94, 'Sender or receiver is not among the expected voters.'),
  INVALID_UPDATE_VERSION: fatal(95, 'The version of the update is not valid.'),
  FEATURE_UPDATE_FAILED: fatal(96, 'The features could not be updated.'),
  PRINCIPAL_DESERIALIZATION_FAILURE: fatal(97, 'The principal of a forwarded request could not be read.'),
  SNAPSHOT_NOT_FOUND: fatal(98, 'There is no such snapshot.'),
  POSITION_OUT_OF_RANGE: fatal(99, 'The position lies outside the snapshot.'),
  UNKNOWN_TOPIC_ID: retriable(100, 'There is no topic with this id here.'),
  DUPLICATE_BROKER_REGISTRATION: fatal(101, 'The broker id is in use already.'),
  BROKER_ID_NOT_REGISTERED: fatal(102, 'The broker id is not registered.'),
  INCONSISTENT_TOPIC_ID: retriable(103, 'The topic id is not the one the log has.'),
  INCONSISTENT_CLUSTER_ID: fatal(104, 'The cluster id is not that of this broker.'),
  TRANSACTIONAL_ID_NOT_FOUND: fatal(105, 'There is no such transactional id.'),
  FETCH_SESSION_TOPIC_ID_ERROR: retriable(
    106,
    'The fetch session began with topic ids and went on without, or the reverse.',
  ),
  INELIGIBLE_REPLICA: fatal(107, 'A replica of the new in-sync set may not be in it.'),
  NEW_LEADER_ELECTED: fatal(108, 'The partition was changed, and has a new leader.'),
  OFFSET_MOVED_TO_TIERED_STORAGE: fatal(109, 'The offset has moved to tiered storage.'),
  FENCED_MEMBER_EPOCH: fatal(110, 'The member is fenced; it has to give up its partitions and join again.'),
  UNRELEASED_INSTANCE_ID: fatal(111, 'Another member of the group still uses this instance id.'),
  UNSUPPORTED_ASSIGNOR: fatal(112, 'The group does not support this assignor.'),
  STALE_MEMBER_EPOCH: fatal(113, 'The epoch of the member is stale; its next heartbeat brings the new one.'),
  MISMATCHED_ENDPOINT_TYPE: fatal(114, 'The request belongs to another type of endpoint.'),
  UNSUPPORTED_ENDPOINT_TYPE: fatal(115, 'This type of endpoint is not supported.'),
  UNKNOWN_CONTROLLER_ID: fatal(116, 'There is no such controller.'),
  UNKNOWN_SUBSCRIPTION_ID: fatal(117, 'The telemetry subscription is unknown or out of date.'),
  TELEMETRY_TOO_LARGE: fatal(118, 'The telemetry is larger than the broker accepts.'),
  INVALID_REGISTRATION: fatal(119, 'The registration of the broker is not valid.'),
  TRANSACTION_ABORTABLE: fatal(120, 'The transaction failed; after aborting it the producer can go on.'),
  INVALID_RECORD_STATE: fatal(121, 'The record is not in a state that can be acknowledged.'),
  SHARE_SESSION_NOT_FOUND: retriable(122, 'There is no such share session.'),
  INVALID_SHARE_SESSION_EPOCH: retriable(123, 'The epoch does not follow the last one of the share session.'),
  FENCED_STATE_EPOCH: fatal(124, 'The state epoch of the share group is not the expected one.'),
  INVALID_VOTER_KEY: fatal(125, 'The key of the voter is not that of the receiver.'),
  DUPLICATE_VOTER: fatal(126, 'The voter is in the set already.'),
  VOTER_NOT_FOUND: fatal(127, 'The voter is not in the set.'),
  INVALID_REGULAR_EXPRESSION: fatal(128, 'The regular expression is not valid.'),
  REBOOTSTRAP_REQUIRED: fatal(
    129,
    'The metadata of the client is stale; it has to start again from its bootstrap servers.',
  ),
  STREAMS_INVALID_TOPOLOGY: fatal(130, 'The topology is not valid.'),
  STREAMS_INVALID_TOPOLOGY_EPOCH: fatal(131, 'The epoch of the topology is not valid.'),
  STREAMS_TOPOLOGY_FENCED: fatal(132, 'The epoch of the topology is out of date.'),
  SHARE_SESSION_LIMIT_REACHED: retriable(133, 'The broker holds as many share sessions as it may.'),
} as const;

/** The name Kafka gives a code, as its tools and documentation print it. */
export type ErrorName = keyof typeof table;

type CodesByName = { readonly [Name in ErrorName]: (typeof table)[Name]['code'] };

/** The number of every error, by name: `ErrorCode.NOT_LEADER_OR_FOLLOWER` is 6. */
export const ErrorCode = Object.fromEntries(
  Object.entries(table).map(([name, { code }]) => [name, code]),
) as CodesByName;

/** One of the numbers in `ErrorCode`. */
export type ErrorCode = CodesByName[ErrorName];

/** What the table says about one error. */
export interface ErrorDescription {
  readonly code: ErrorCode;
  readonly name: ErrorName;
  /** Whether Kafka's own client sends the request again by itself. */
  readonly retriable: boolean;
  /** One sentence for a person. */
  readonly message: string;
}

/** The whole table, in ascending order of code. */
export const errorDescriptions: readonly ErrorDescription[] = Object.entries(table)
  .map(([name, entry]) => ({ ...entry, name: name as ErrorName }))
  .sort((a, b) => a.code - b.code);

const byCode = new Map<number, ErrorDescription>(
  errorDescriptions.map((description) => [description.code, description]),
);

/** The entry of a known code. */
export function describeError(code: ErrorCode): ErrorDescription;
/** The entry of a code from the wire, or undefined where a newer Kafka added it. */
export function describeError(code: number): ErrorDescription | undefined;
export function describeError(code: number): ErrorDescription | undefined {
  return byCode.get(code);
}
