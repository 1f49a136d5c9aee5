import { clusterSchema } from './cluster.ts';
import { customResourceDefinitions } from './crd.ts';
import { topicSchema } from './topic.ts';

const s3 = { bucket: 'records', region: 'eu-west-1' };

test('a cluster needs no more than a bucket and its region', () => {
  const spec = clusterSchema.spec.parse({ s3 });
  expect(spec.brokers.replicas).toBe(3);
  expect(spec.brokers.service.type).toBe('ClusterIP');
  expect(spec.etcd.endpoints).toEqual([]);
});

test('a topic needs no more than its cluster, and outlives its resource', () => {
  expect(topicSchema.spec.parse({ clusterRef: 'kafscale' })).toEqual({
    clusterRef: 'kafscale',
    partitions: 1,
    deletionPolicy: 'Retain',
  });
});

test('what the API server would prune is refused here, not dropped', () => {
  expect(() => clusterSchema.spec.parse({ s3, lfsProxy: { enabled: true } })).toThrow(/lfsProxy/);
});

test('a quantity is a string or a number', () => {
  const autoscaling = { maxReplicas: 5, targetBytesInPerSecond: 50_000_000 };
  const { brokers } = clusterSchema.spec.parse({ s3, brokers: { autoscaling } });
  expect(brokers.autoscaling?.targetBytesInPerSecond).toBe('50000000');
});

/** Every schema below `schema`, with where it is. */
function* schemasIn(schema: Record<string, unknown>, path = ''): Iterable<[string, Record<string, unknown>]> {
  yield [path, schema];
  const properties = (schema.properties ?? {}) as Record<string, Record<string, unknown>>;
  for (const [name, inner] of Object.entries(properties)) yield* schemasIn(inner, `${path}.${name}`);
  if (schema.items !== undefined) yield* schemasIn(schema.items as Record<string, unknown>, `${path}[]`);
  if (typeof schema.additionalProperties === 'object') {
    yield* schemasIn(schema.additionalProperties as Record<string, unknown>, `${path}{}`);
  }
}

describe.each(customResourceDefinitions())('$metadata.name', (definition) => {
  const root = definition.spec.versions[0]!.schema.openAPIV3Schema;

  test('is structural: every value has a type, and nothing has properties and further ones', () => {
    const faults = [...schemasIn(root)].filter(
      ([, schema]) =>
        (schema.type === undefined && schema['x-kubernetes-int-or-string'] !== true) ||
        (schema.properties !== undefined && schema.additionalProperties !== undefined),
    );
    expect(faults).toEqual([]);
  });

  test('uses no word of JSON Schema that Kubernetes refuses', () => {
    const refused = ['$schema', '$ref', '$defs', 'const', 'propertyNames', 'exclusiveMinimum', 'definitions'];
    const faults = [...schemasIn(root)].filter(([, schema]) => refused.some((word) => schema[word] !== undefined));
    expect(faults).toEqual([]);
  });

  test('what a CEL rule refuses with is a sentence', () => {
    for (const [, schema] of schemasIn(root)) {
      for (const { message } of (schema['x-kubernetes-validations'] ?? []) as { message: string }[]) {
        expect(message).toMatch(/ .* /);
      }
    }
  });
});
