/** `KafScaleTopic`: a topic of a cluster in the same namespace. Kafka's own limits hold: partitions only grow, names are for ever. */
import { z } from 'zod';
import { conditionList } from './conditions.ts';
import { immutable, objectName, rules } from './fields.ts';

const topicSpec = z
  .strictObject({
    clusterRef: objectName()
      .describe('Name of the KafScaleCluster, in the same namespace.')
      .meta(immutable('the cluster of a topic')),
    topicName: z
      .string()
      .min(1)
      .max(249)
      .regex(/^[a-zA-Z0-9._-]+$/)
      .optional()
      .describe(
        "The topic's name in Kafka, where it is no name that Kubernetes allows; the resource's own unless set.",
      ),
    partitions: z
      .int()
      .min(1)
      .max(10_000)
      .default(1)
      .describe('Number of partitions. It can only grow: Kafka keeps a key with its partition.')
      .meta(rules({ rule: 'self >= oldSelf', message: 'partitions can only be added: Kafka cannot take any away' })),
    retentionMs: z
      .int()
      .min(-1)
      .optional()
      .describe(
        "How long records are kept, in milliseconds; -1 for ever. `retention.ms`; the brokers' default unless set.",
      ),
    retentionBytes: z
      .int()
      .min(-1)
      .optional()
      .describe("Bytes kept of each partition; -1 for all. `retention.bytes`; the brokers' default unless set."),
    config: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'Further topic configs by their Kafka names. What is set here and elsewhere is set back; what is taken out returns to its default.',
      )
      .meta({ maxProperties: 64 }),
    deletionPolicy: z
      .enum(['Retain', 'Delete'])
      .default('Retain')
      .describe('What becomes of the topic and its records when the resource is deleted. Retain keeps them.'),
  })
  .meta(
    rules(
      {
        rule: "!has(self.config) || ((!has(self.retentionMs) || !('retention.ms' in self.config)) && (!has(self.retentionBytes) || !('retention.bytes' in self.config)))",
        message: 'set either retentionMs or retention.ms in config, and either retentionBytes or retention.bytes',
      },
      {
        rule: 'has(self.topicName) == has(oldSelf.topicName) && (!has(self.topicName) || self.topicName == oldSelf.topicName)',
        message: 'the name of a topic cannot be changed: create another resource',
      },
    ),
  );

const topicPartitionStatus = z.strictObject({
  id: z.int().min(0),
  leader: z.int().describe('Broker id; -1 for none.'),
  logStartOffset: z.int().optional(),
  logEndOffset: z.int().optional(),
});

/** Offsets of no more partitions than these are reported: a status is no place for thousands of numbers. */
export const reportedPartitions = 100;

const topicStatus = z.strictObject({
  observedGeneration: z.int().optional(),
  phase: z.string().optional().describe('Of `conditions`, in a word, for people.'),
  topicId: z.string().optional(),
  partitionCount: z.int().optional(),
  appliedConfig: z
    .array(z.string())
    .optional()
    .describe('Names of configs that the resource has set, to be set back when it lets go of them.')
    .meta({ 'x-kubernetes-list-type': 'set' }),
  partitions: z
    .array(topicPartitionStatus)
    .max(reportedPartitions)
    .optional()
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['id'] }),
  conditions: conditionList().optional(),
});

export const topicSchema = { spec: topicSpec, status: topicStatus };

export type KafScaleTopicSpec = z.output<typeof topicSpec>;
export type KafScaleTopicStatus = z.output<typeof topicStatus>;
