/**
 * The custom resource definitions, made from the schemas: OpenAPI v3 as Kubernetes wants it (a structural schema), CEL rules, defaults,
 * columns and subresources. What zod writes and Kubernetes does not know is taken out; nothing is put in by hand.
 */
import { z } from 'zod';
import { clusterSchema } from './cluster.ts';
import { rules, type CelRule } from './fields.ts';
import { topicSchema } from './topic.ts';

export const group = 'kafscale.io';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description?: string;
  readonly priority?: number;
}

/** What tells one of our kinds from another. */
export interface ResourceKind {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
}

export const clusterKind: ResourceKind = {
  kind: 'KafScaleCluster',
  plural: 'kafscaleclusters',
  singular: 'kafscalecluster',
  shortName: 'kfs',
};

export const topicKind: ResourceKind = {
  kind: 'KafScaleTopic',
  plural: 'kafscaletopics',
  singular: 'kafscaletopic',
  shortName: 'kft',
};

/** Names of a cluster's objects are made from its own, and some may not be longer than 63 characters. */
export const maxClusterNameLength = 40;

interface ResourceDescription extends ResourceKind {
  readonly spec: z.ZodType;
  readonly status: z.ZodType;
  readonly description: string;
  readonly columns: readonly PrinterColumn[];
  readonly scale?: Readonly<Record<string, string>>;
  readonly rules: readonly CelRule[];
}

const conditionStatus = (type: string) => `.status.conditions[?(@.type=="${type}")].status`;
const age: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };

const descriptions: readonly ResourceDescription[] = [
  {
    ...clusterKind,
    ...clusterSchema,
    description:
      'Brokers that speak the Kafka protocol, the bucket their records live in and the etcd that holds their metadata.',
    columns: [
      { name: 'Ready', type: 'string', jsonPath: conditionStatus('Ready') },
      { name: 'Desired', type: 'integer', jsonPath: '.spec.brokers.replicas', description: 'Wanted brokers' },
      { name: 'Current', type: 'integer', jsonPath: '.status.brokers.ready', description: 'Ready brokers' },
      { name: 'Draining', type: 'string', jsonPath: '.status.brokers.draining' },
      { name: 'Etcd', type: 'string', jsonPath: conditionStatus('EtcdAvailable') },
      { name: 'Version', type: 'string', jsonPath: '.status.version', priority: 1 },
      { name: 'Status', type: 'string', jsonPath: '.status.phase' },
      age,
    ],
    scale: {
      specReplicasPath: '.spec.brokers.replicas',
      statusReplicasPath: '.status.brokers.replicas',
      labelSelectorPath: '.status.brokers.selector',
    },
    rules: [
      {
        rule: `size(self.metadata.name) <= ${maxClusterNameLength} && !self.metadata.name.contains('.')`,
        message: `a cluster's name has at most ${maxClusterNameLength} characters and no dot: names of its objects are made from it`,
      },
    ],
  },
  {
    ...topicKind,
    ...topicSchema,
    description: 'A topic of a KafScaleCluster in the same namespace.',
    columns: [
      { name: 'Cluster', type: 'string', jsonPath: '.spec.clusterRef' },
      { name: 'Partitions', type: 'integer', jsonPath: '.status.partitionCount' },
      { name: 'Ready', type: 'string', jsonPath: conditionStatus('Ready') },
      { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
      age,
    ],
    rules: [],
  },
];

/** Both definitions, as `kubectl apply` takes them. */
export const customResourceDefinitions = () => descriptions.map(definitionOf);

function definitionOf(described: ResourceDescription) {
  const { kind, plural, singular, shortName, columns, scale } = described;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName], categories: ['kafscale'] },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schemaOf(described) },
          subresources: { status: {}, ...(scale !== undefined && { scale }) },
          additionalPrinterColumns: columns,
        },
      ],
    },
  };
}

function schemaOf({ description, spec, status, rules: rootRules }: ResourceDescription) {
  return {
    description,
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: structural(spec),
      status: structural(status),
    },
    ...(rootRules.length > 0 && rules(...rootRules)),
  };
}

type JsonSchema = Record<string, unknown>;

/** What a user may write, not what reading it makes of it: a field with a default is not required. */
function structural(type: z.ZodType): JsonSchema {
  return z.toJSONSchema(type, {
    io: 'input',
    target: 'openapi-3.0',
    override: ({ jsonSchema }) => makeStructural(jsonSchema as JsonSchema),
  });
}

/** Changes a schema in place; called from the innermost outwards. */
function makeStructural(schema: JsonSchema): void {
  delete schema.$schema;
  if (schema.propertyNames !== undefined) delete schema.propertyNames;
  if (schema['x-kubernetes-int-or-string'] === true) {
    delete schema.type;
    schema.anyOf = [{ type: 'integer' }, { type: 'string' }];
  }
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true;
  // Unknown fields are pruned, and `kubectl` refuses them before.
  if (schema.additionalProperties === false || isOpen) delete schema.additionalProperties;
  if (isOpen) delete schema.properties;
  if (schema.type === 'integer') makeInteger(schema);
}

function makeInteger(schema: JsonSchema): void {
  const { minimum, maximum } = schema as { minimum?: number; maximum?: number };
  if (minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  schema.format = maximum !== undefined && maximum < 2 ** 31 ? 'int32' : 'int64';
}
