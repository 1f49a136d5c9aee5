import { metadata, metadataKeys } from '@kafscale/protocol';
import { FakeClock } from '@kafscale/testkit';
import { MemoryMetadataStore } from '../metadata/memory-metadata-store.ts';
import { Session } from '../metadata/session.ts';
import { inService } from './broker-standing.ts';
import { registerBroker, storeStanding, type BrokerRegistration } from './broker-registration.ts';

const settings = { ttlMs: 10_000, callDeadlineMs: 1_000, settleDeadlineMs: 3_000 };
const endpoint = { host: 'localhost', port: 9092, rack: '' };

function setUp() {
  const clock = new FakeClock();
  const store = new MemoryMetadataStore({ clock });
  const broker = async (name: string, options: Partial<BrokerRegistration> = {}) => {
    const session = await Session.open(name, { store, clock, settings });
    const { incarnation, leaseId } = session;
    const lane = session.lane('data');
    return {
      session,
      register: () => registerBroker({ store, lane, clock }, { incarnation, leaseId, endpoint, ...options }),
    };
  };
  return { clock, store, broker };
}

describe('registering a broker', () => {
  it('claims the configured id and tells where the broker is', async () => {
    const { store, broker } = setUp();
    const { session, register } = await broker('a', { brokerId: 5 });
    expect(await register()).toBe(5);
    const { items } = await store.range({ key: metadataKeys.broker(5) });
    expect(items[0]?.leaseId).toBe(session.leaseId);
    expect(metadata.BrokerRecord.decode(items[0]!.value)).toEqual({
      ...{ incarnation: 'a', ...endpoint },
      ...{ draining: false, readOnly: false, cordoned: false, drained: [] },
    });
  });

  it('claims the lowest free id where none is configured', async () => {
    const { broker } = setUp();
    await (await broker('a', { brokerId: 0 })).register();
    await (await broker('b', { brokerId: 2 })).register();
    expect(await (await broker('c')).register()).toBe(1);
    expect(await (await broker('d')).register()).toBe(3);
  });

  it('gives every broker its own id when many come at once', async () => {
    const { broker } = setUp();
    const brokers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => broker(name)));
    const ids = await Promise.all(brokers.map(({ register }) => register()));
    expect([...ids].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('refuses an id that a living broker has', async () => {
    const { broker } = setUp();
    await (await broker('a', { brokerId: 0 })).register();
    const refused = (await broker('b', { brokerId: 0 })).register();
    await expect(refused).rejects.toMatchObject({ kind: 'conflict' });
    await expect(refused).rejects.toThrow(
      'broker id 0 belongs to another broker that is alive at localhost:9092: give each broker a KAFSCALE_BROKER_ID of its own',
    );
  });

  it('waits for the id of its own earlier life, whose lease is running out', async () => {
    const { clock, store, broker } = setUp();
    const earlier = await broker('a', { brokerId: 0 });
    await earlier.register();
    earlier.session.end(new Error('killed'));
    const registering = (await broker('b', { brokerId: 0, waitMs: 20_000 })).register();
    await clock.advanceAsync(5_000);
    const before = await store.range({ key: metadataKeys.broker(0) });
    expect(metadata.BrokerRecord.decode(before.items[0]!.value).incarnation).toBe('a');
    await clock.advanceAsync(15_000);
    expect(await registering).toBe(0);
  });

  it('frees the id with the session', async () => {
    const { broker } = setUp();
    const first = await broker('a', { brokerId: 0 });
    await first.register();
    await first.session.revoke(new Error('stopped'));
    expect(await (await broker('b', { brokerId: 0 })).register()).toBe(0);
  });

  it('says that a broker is to own nothing, in a record that still goes with its session', async () => {
    const { store, broker } = setUp();
    const { session, register } = await broker('a', { brokerId: 3 });
    await register();
    const registration = { incarnation: 'a', leaseId: session.leaseId, endpoint };
    for (const draining of [true, false, true]) {
      await storeStanding(session.lane('upkeep'), 3, registration, { ...inService, draining });
      const { items } = await store.range({ key: metadataKeys.broker(3) });
      expect(metadata.BrokerRecord.decode(items[0]!.value)).toMatchObject({ incarnation: 'a', ...endpoint, draining });
    }
    await session.revoke(new Error('stopped'));
    expect((await store.range({ key: metadataKeys.broker(3) })).items).toEqual([]);
    await expect(storeStanding(session.lane('upkeep'), 3, registration, inService)).rejects.toMatchObject({
      kind: 'fenced',
    });
  });

  it('may own nothing from the beginning', async () => {
    const { store, broker } = setUp();
    await (await broker('a', { brokerId: 3, draining: true })).register();
    const { items } = await store.range({ key: metadataKeys.broker(3) });
    expect(metadata.BrokerRecord.decode(items[0]!.value).draining).toBe(true);
  });
});
