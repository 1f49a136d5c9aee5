import { metadata, metadataKeys } from '@kafscale/protocol';
import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { MemoryMetadataStore } from './memory-metadata-store.ts';
import { MetadataError } from './metadata-error.ts';
import type { MetadataStore, Operation } from './metadata-store.ts';
import { WatchedMetadataImage } from './watched-metadata-image.ts';

const id = (fill: number) => Buffer.alloc(16, fill);
const text = (fill: number) => id(fill).toString('base64url');

const putTopic = (name: string, fill: number, configs: [string, string][] = [], deleting = false): Operation => ({
  type: 'put',
  key: metadataKeys.topic(name),
  value: metadata.TopicRecord.encode({
    topicId: id(fill),
    partitionCount: 2,
    replicationFactor: 3,
    configs: new Map(configs),
    createdMs: 0n,
    deleting,
  }).finish(),
});

const putPartition = (fill: number, partition: number, leaderEpoch: number): Operation => ({
  type: 'put',
  key: metadataKeys.partition(text(fill), partition),
  value: metadata.PartitionRecord.encode({
    owner: 'incarnation-1',
    brokerId: 7,
    leaderEpoch,
    logStartOffset: 0n,
    foldedOffset: 6n,
    epochStarts: [],
    nextOffset: 0n,
    chunks: [],
    segments: [],
    producerSnapshot: undefined,
  }).finish(),
});

const putBroker = (brokerId: number, incarnation = 'i', draining = false): Operation => ({
  type: 'put',
  key: metadataKeys.broker(brokerId),
  value: metadata.BrokerRecord.encode({
    incarnation,
    host: `host-${brokerId}`,
    port: 9092,
    rack: '',
    draining,
    readOnly: false,
    cordoned: false,
    drained: [],
  }).finish(),
});

const putAssignment = (fill: number, incarnations: string[], owners: number[]): Operation => ({
  type: 'put',
  key: metadataKeys.assignment(text(fill)),
  value: metadata.AssignmentRecord.encode({ incarnations, owners }).finish(),
});

const putController = (incarnation: string): Operation => ({
  type: 'put',
  key: metadataKeys.controller,
  value: metadata.ControllerRecord.encode({ incarnation, epoch: 1n }).finish(),
});

async function setUp(first: Operation[] = []) {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const logged: string[] = [];
  const record = (fields: unknown, message?: string) => void logged.push(message ?? String(fields));
  const logger = { ...silentLogger, warn: record, error: record };
  if (first.length > 0) await store.transact({ compare: [], success: first });
  const open = (through: MetadataStore = store) =>
    WatchedMetadataImage.open({ store: through, clusterId: 'c', clock, random: seededRandom(1), logger });
  const apply = async (...success: Operation[]) => {
    const { revision } = await store.transact({ compare: [], success });
    await settled();
    return revision;
  };
  return { clock, store, open, apply, logged };
}

/** The store, with calls that a test replaces. */
function intercepted(store: MemoryMetadataStore, replaced: Partial<MetadataStore>): MetadataStore {
  return {
    range: store.range.bind(store),
    transact: store.transact.bind(store),
    grantLease: store.grantLease.bind(store),
    keepAlive: store.keepAlive.bind(store),
    revokeLease: store.revokeLease.bind(store),
    watch: store.watch.bind(store),
    compact: store.compact.bind(store),
    usage: store.usage.bind(store),
    close: store.close.bind(store),
    ...replaced,
  };
}

describe('a watched metadata image', () => {
  it('has what the store held when it was opened', async () => {
    const { open, store } = await setUp([
      putTopic('b', 2, [['retention.ms', '5']]),
      putTopic('__proto__', 1),
      putPartition(2, 1, 4),
      putBroker(10),
      putBroker(9),
    ]);
    const image = await open();
    expect([...image.topics()].map(({ name }) => name)).toEqual(['__proto__', 'b']);
    expect(image.topic('b')).toEqual(expect.objectContaining({ topicId: text(2), partitionCount: 2 }));
    expect(image.topic('b')?.config.retentionMs).toBe(5);
    expect(image.topicById(text(1))?.name).toBe('__proto__');
    expect(image.topic('constructor')).toBeUndefined();
    const partition = { owner: 'incarnation-1', brokerId: 7, leaderEpoch: 4, foldedOffset: 6 };
    expect(image.partition(text(2), 1)).toEqual(partition);
    expect(image.partition(text(2), 0)).toBeUndefined();
    expect(image.brokers().map(({ brokerId }) => brokerId)).toEqual([9, 10]);
    expect(image.revision).toBe((await store.range({ key: 'x' })).revision);
    await image.close();
  });

  it('reads more keys than one read gives', async () => {
    const { open, store } = await setUp();
    for (let from = 0; from < 2_500; from += 125) {
      const success = Array.from({ length: 125 }, (_, index) => putPartition(1, from + index, 0));
      await store.transact({ compare: [], success });
    }
    const image = await open();
    expect(image.partition(text(1), 2_499)).toBeDefined();
    await image.close();
  });

  it('follows puts and deletes, and says so', async () => {
    const { open, apply } = await setUp([putTopic('a', 1)]);
    const image = await open();
    let changes = 0;
    const stop = image.onChange(() => (changes += 1));
    await apply(putTopic('b', 2), putPartition(2, 0, 1));
    expect(image.topic('b')).toBeDefined();
    expect(image.partition(text(2), 0)?.leaderEpoch).toBe(1);
    await apply({ type: 'delete', key: metadataKeys.topic('a') }, putPartition(2, 0, 2));
    expect(image.topic('a')).toBeUndefined();
    expect(image.topicById(text(1))).toBeUndefined();
    expect(image.partition(text(2), 0)?.leaderEpoch).toBe(2);
    expect(changes).toBeGreaterThanOrEqual(2);
    stop();
    const before = changes;
    await apply(putBroker(1));
    expect(changes).toBe(before);
    expect(image.brokers()).toHaveLength(1);
    await image.close();
  });

  it('knows a recreated topic by its new id only', async () => {
    const { open, apply } = await setUp([putTopic('a', 1)]);
    const image = await open();
    await apply(putTopic('a', 2));
    expect(image.topicById(text(1))).toBeUndefined();
    expect(image.topicById(text(2))?.name).toBe('a');
    await image.close();
  });

  it('shows a topic that is being deleted to those who ask for such, and to nobody else', async () => {
    const { open, apply } = await setUp([putTopic('a', 1), putTopic('b', 2, [], true)]);
    const image = await open();
    expect([...image.topics()].map(({ name }) => name)).toEqual(['a']);
    await apply(putTopic('a', 1, [], true));
    expect([image.topic('a'), image.topicById(text(1)), ...image.topics()]).toEqual([undefined, undefined]);
    expect([...image.deletingTopics()].map(({ name }) => name)).toEqual(['a', 'b']);
    await apply({ type: 'delete', key: metadataKeys.topic('a') });
    expect([...image.deletingTopics()].map(({ name }) => name)).toEqual(['b']);
    await image.close();
  });

  it('knows who should own what, and who decides it', async () => {
    const { open, apply, store } = await setUp([putAssignment(1, ['x', 'y'], [2, 0, 1])]);
    const image = await open();
    expect(image.controller).toBeUndefined();
    expect(image.assignment(text(1))?.owners).toEqual(['y', '', 'x']);
    const revision = await apply(putAssignment(1, ['z'], [1]), putController('x'));
    expect(image.assignment(text(1))).toEqual({ owners: ['z'], modRevision: revision });
    expect(image.controller).toBe('x');
    await image.close();
    const another = await WatchedMetadataImage.open({
      ...{ store, clusterId: 'c', random: seededRandom(1), logger: silentLogger },
      clock: new FakeClock(),
    });
    expect([another.controller, another.assignment(text(1))?.owners]).toEqual(['x', ['z']]);
    await another.close();
  });

  it('leaves out an assignment to somebody it does not name', async () => {
    const { open, logged } = await setUp([putAssignment(1, ['x'], [2])]);
    const image = await open();
    expect(image.assignment(text(1))).toBeUndefined();
    expect(logged).toHaveLength(1);
    await image.close();
  });

  it('finds a broker by its incarnation, while it lives and under its newest', async () => {
    const { open, apply } = await setUp([putBroker(4, 'old')]);
    const image = await open();
    expect(image.brokerOf('old')).toMatchObject({ brokerId: 4, draining: false });
    await apply(putBroker(4, 'new', true));
    expect(image.brokerOf('old')).toBeUndefined();
    expect(image.brokerOf('new')).toMatchObject({ brokerId: 4, incarnation: 'new', draining: true });
    await apply({ type: 'delete', key: metadataKeys.broker(4) });
    expect(image.brokerOf('new')).toBeUndefined();
    await image.close();
  });

  it('says of which topics the partitions changed, and nothing where it may be any', async () => {
    const { open, apply } = await setUp([putTopic('a', 1)]);
    const image = await open();
    const changes: (string[] | undefined)[] = [];
    image.onChange(({ topicIds }) => changes.push(topicIds && [...topicIds]));
    await apply(putPartition(1, 0, 1), putPartition(2, 0, 1));
    await apply(putAssignment(3, [], [0]));
    await apply(putBroker(1));
    expect(changes).toEqual([[text(1), text(2)], [text(3)], undefined]);
    await image.close();
  });

  it('logs and leaves out what does not decode, and keeps the rest', async () => {
    const { open, apply, logged } = await setUp([
      putTopic('a', 1),
      { type: 'put', key: metadataKeys.topic('bad'), value: Buffer.from([0xff, 0xff, 0xff]) },
      { type: 'put', key: metadataKeys.topic('no-id'), value: new Uint8Array() },
      { type: 'put', key: 'partitions/odd', value: new Uint8Array() },
    ]);
    const image = await open();
    expect([...image.topics()].map(({ name }) => name)).toEqual(['a']);
    expect(logged).toEqual(Array(3).fill('a metadata entry does not decode and is left out'));
    await apply({ type: 'put', key: metadataKeys.topic('a'), value: Buffer.from([0xff]) }, putTopic('c', 3));
    expect([...image.topics()].map(({ name }) => name)).toEqual(['c']);
    await image.close();
  });

  it('reads again when history was compacted under its watch', async () => {
    const { clock, open, apply, store } = await setUp([putTopic('a', 1)]);
    const gate: { open?: () => void } = {};
    const shut = new Promise<void>((resolve) => (gate.open = resolve));
    const image = await open(
      intercepted(store, {
        async *watch(range, fromRevision, signal) {
          await shut;
          yield* store.watch(range, fromRevision, signal);
        },
      }),
    );
    const revision = await apply(putTopic('b', 2), { type: 'delete', key: metadataKeys.topic('a') });
    await store.compact(revision);
    expect(image.topic('b')).toBeUndefined();
    gate.open!();
    await clock.advanceAsync(10_000);
    expect([...image.topics()].map(({ name }) => name)).toEqual(['b']);
    await image.close();
  });

  it('reads again after a broken watch, as often as it takes', async () => {
    const { clock, open, apply, store } = await setUp();
    let failures = 0;
    let broken = false;
    const failing = () => {
      failures += 1;
      throw new MetadataError('unavailable', 'connection reset');
    };
    const image = await open(
      intercepted(store, {
        range: (request, signal) => (broken && failures < 10 ? failing() : store.range(request, signal)),
        async *watch(range, fromRevision, signal) {
          if (broken && failures < 10) failing();
          for await (const batch of store.watch(range, fromRevision, signal)) {
            if (broken && failures < 10) failing();
            yield batch;
          }
        },
      }),
    );
    broken = true;
    await apply(putTopic('lost', 1));
    await clock.advanceAsync(60_000);
    expect(failures).toBe(10);
    expect(image.topic('lost')).toBeDefined();
    await apply(putTopic('next', 2));
    expect(image.topic('next')).toBeDefined();
    await image.close();
  });

  it('finds within a minute what a silent watch never showed', async () => {
    const { clock, open, apply, store } = await setUp();
    const image = await open(
      intercepted(store, {
        async *watch(_range, _fromRevision, signal) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        },
      }),
    );
    await apply(putTopic('a', 1));
    await clock.advanceAsync(59_000);
    expect(image.topic('a')).toBeUndefined();
    await clock.advanceAsync(1_000);
    expect(image.topic('a')).toBeDefined();
    await image.close();
  });

  it('reaches a revision of which its watches show nothing', async () => {
    const { clock, open, apply } = await setUp();
    const image = await open();
    const revision = await apply({ type: 'put', key: 'elsewhere', value: new Uint8Array() });
    expect(image.revision).toBeLessThan(revision);
    await clock.runUntilSettled(image.reached(revision));
    expect(image.revision).toBeGreaterThanOrEqual(revision);
    await image.reached(revision);
    await image.close();
  });

  it('gives up waiting when the caller does, and when it is closed', async () => {
    const { open } = await setUp();
    const image = await open();
    const caller = new AbortController();
    const first = image.reached(1_000_000, caller.signal);
    const second = image.reached(1_000_000);
    caller.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    const outcome = expect(second).rejects.toThrow('closed');
    await image.close();
    await outcome;
    await expect(image.reached(1_000_000)).rejects.toThrow('closed');
  });

  it('tries to open until the store answers', async () => {
    const { clock, open, store } = await setUp([putTopic('a', 1)]);
    let failures = 3;
    const opening = open(
      intercepted(store, {
        range: (request, signal) => {
          if (failures > 0) {
            failures -= 1;
            return Promise.reject(new MetadataError('unavailable', 'no answer'));
          }
          return store.range(request, signal);
        },
      }),
    );
    const image = await clock.runUntilSettled(opening);
    expect(image.topic('a')).toBeDefined();
    await image.close();
  });
});
