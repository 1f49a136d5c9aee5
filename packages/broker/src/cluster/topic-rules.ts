/** What Kafka demands of a topic before it is created or grown: its name, its number of partitions, and who should lead them. */
import { ErrorCode, KafkaError } from '@kafscale/protocol';

/** -1 partitions or replicas leave the number to the broker (KIP-464). */
export const brokerDefault = -1;

const maxNameLength = 249;
const nameCharacters = /^[a-zA-Z0-9._-]+$/;
const offsetsTopic = '__consumer_offsets';
const transactionsTopic = '__transaction_state';
const metadataTopic = '__cluster_metadata';

/** Who should lead each partition, and who should follow. Checked as Kafka does, and not acted on: ownership is the brokers'. */
export interface PartitionAssignment {
  readonly partitionIndex: number;
  readonly brokerIds: readonly number[];
}

/** Topics that belong to the brokers, not to users. */
export const isInternalTopic = (name: string): boolean => name === offsetsTopic || name === transactionsTopic;

/** What is wrong with a topic's name; undefined for a good one. */
export function topicNameFault(name: string): string | undefined {
  if (name === '') return 'the empty string is not allowed';
  if (name === '.' || name === '..') return `'${name}' is not allowed`;
  if (name.length > maxNameLength) {
    return `the length of '${name}' is longer than the max allowed length ${maxNameLength}`;
  }
  if (!nameCharacters.test(name)) {
    return `'${name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'`;
  }
  return undefined;
}

/** Throws INVALID_TOPIC_EXCEPTION. */
export function checkTopicName(name: string): void {
  const fault = topicNameFault(name);
  if (fault !== undefined) {
    throw new KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, `Topic name is invalid: ${fault}`);
  }
}

/** Throws INVALID_TOPIC_EXCEPTION for names no topic may have, INVALID_REQUEST for one that clients may not create. */
export function checkNewTopicName(name: string): void {
  if (name === metadataTopic) {
    throw new KafkaError(ErrorCode.INVALID_REQUEST, `Creation of internal topic ${name} is prohibited.`);
  }
  checkTopicName(name);
}

/** The same for names that would meet in a metric's name, where Kafka writes `_` for `.`. */
export const collisionKey = (name: string): string => name.replaceAll('.', '_');

export interface PartitionCounts {
  readonly numPartitions: number;
  readonly replicationFactor: number;
  readonly assignments: readonly PartitionAssignment[];
}

/**
 * How many partitions and replicas a new topic gets. Throws INVALID_REQUEST, INVALID_REPLICA_ASSIGNMENT,
 * INVALID_REPLICATION_FACTOR, INVALID_PARTITIONS, in Kafka's order.
 */
export function newTopicCounts(
  { numPartitions, replicationFactor, assignments }: PartitionCounts,
  defaultPartitions: number,
  knownBrokers: ReadonlySet<number>,
): { readonly partitionCount: number; readonly replicationFactor: number } {
  if (assignments.length > 0) {
    checkNoCountBesideAssignment('replication factor', replicationFactor);
    checkNoCountBesideAssignment('number of partitions', numPartitions);
    checkConsecutive(assignments);
    for (const { brokerIds } of assignments) checkReplicas(brokerIds, knownBrokers);
    return { partitionCount: assignments.length, replicationFactor: assignments[0]!.brokerIds.length };
  }
  if (replicationFactor < brokerDefault || replicationFactor === 0) {
    throw new KafkaError(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    );
  }
  if (numPartitions < brokerDefault || numPartitions === 0) {
    throw new KafkaError(
      ErrorCode.INVALID_PARTITIONS,
      'Number of partitions was set to an invalid non-positive value.',
    );
  }
  return {
    partitionCount: numPartitions === brokerDefault ? defaultPartitions : numPartitions,
    replicationFactor: replicationFactor === brokerDefault ? 1 : replicationFactor,
  };
}

/** Throws INVALID_PARTITIONS when `count` is no more than the topic has, INVALID_REPLICA_ASSIGNMENT for a wrong assignment. */
export function checkGrowth(
  topic: { readonly name: string; readonly partitionCount: number },
  count: number,
  assignments: readonly { readonly brokerIds: readonly number[] }[] | null,
  knownBrokers: ReadonlySet<number>,
): void {
  const current = topic.partitionCount;
  if (count === current) {
    throw new KafkaError(ErrorCode.INVALID_PARTITIONS, `Topic already has ${current} partition(s).`);
  }
  if (count < current) {
    throw new KafkaError(
      ErrorCode.INVALID_PARTITIONS,
      `The topic ${topic.name} currently has ${current} partition(s); ${count} would not be an increase.`,
    );
  }
  if (assignments === null) return;
  if (assignments.length !== count - current) {
    throw invalidAssignment(
      `Attempted to add ${count - current} additional partition(s), but only ${assignments.length} ` +
        'assignment(s) were specified.',
    );
  }
  for (const { brokerIds } of assignments) checkReplicas(brokerIds, knownBrokers);
}

/** Throws INVALID_REPLICA_ASSIGNMENT for no replicas, one named twice, or one on a broker nobody knows. */
export function checkReplicas(brokerIds: readonly number[], knownBrokers: ReadonlySet<number>): void {
  if (brokerIds.length === 0)
    throw invalidAssignment('The manual partition assignment includes an empty replica list.');
  const seen = new Set<number>();
  for (const brokerId of [...brokerIds].sort((left, right) => left - right)) {
    if (!knownBrokers.has(brokerId)) {
      throw invalidAssignment(
        `The manual partition assignment includes broker ${brokerId}, but no such broker is registered.`,
      );
    }
    if (seen.has(brokerId)) {
      throw invalidAssignment(`The manual partition assignment includes the broker ${brokerId} more than once.`);
    }
    seen.add(brokerId);
  }
}

function checkNoCountBesideAssignment(what: string, count: number): void {
  if (count === brokerDefault) return;
  throw new KafkaError(
    ErrorCode.INVALID_REQUEST,
    `A manual partition assignment was specified, but ${what} was not set to -1.`,
  );
}

function checkConsecutive(assignments: readonly PartitionAssignment[]): void {
  const seen = new Set<number>();
  for (const { partitionIndex } of assignments) {
    if (seen.has(partitionIndex)) {
      throw invalidAssignment(`Found multiple manual partition assignments for partition ${partitionIndex}`);
    }
    seen.add(partitionIndex);
  }
  for (let partition = 0; partition < assignments.length; partition += 1) {
    if (!seen.has(partition)) throw invalidAssignment('partitions should be a consecutive 0-based integer sequence');
  }
}

const invalidAssignment = (message: string) => new KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message);
