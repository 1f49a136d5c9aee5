import { seededRandom, silentLogger, type Clock } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EtcdClient, EtcdStatus } from './etcd-client.ts';
import { fetchSnapshot } from './fetch-snapshot.ts';
import { MemorySnapshotStore } from './memory-store-fixture.ts';
import { listSnapshots } from './snapshot-catalog.ts';
import { takeSnapshot } from './take-snapshot.ts';

const database = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7) % 251));
const whole = Buffer.concat([database, createHash('sha256').update(database).digest()]);
const hourMs = 3_600_000;

interface Sent {
  readonly bytes?: Buffer;
  readonly status?: Partial<EtcdStatus>;
}

function etcdThatSends({ bytes = whole, status }: Sent = {}) {
  const unused = () => Promise.reject(new Error('not asked for'));
  return (url: string): EtcdClient => ({
    ...{ url, members: unused, alarms: unused, disarm: unused, addLearner: unused, promote: unused, remove: unused },
    ...{ moveLeader: unused, defragment: unused },
    status: () =>
      Promise.resolve({
        ...{ memberId: url, leaderId: 'http://a', version: '3.6.16', revision: 7, isLearner: false },
        ...{ sizeBytes: 0, inUseBytes: 0, ...status },
      }),
    revision: () => Promise.resolve(7),
    async *snapshot() {
      for (let start = 0; start < bytes.length; start += 32_768) yield bytes.subarray(start, start + 32_768);
    },
  });
}

let clock: FakeClock;
let store: MemorySnapshotStore;
let folder: string;

beforeEach(async () => {
  clock = new FakeClock({ wallMs: Date.UTC(2026, 1, 3) });
  store = new MemorySnapshotStore();
  folder = await mkdtemp(join(tmpdir(), 'kafscale-snapshots-'));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

const take = (sent?: Sent, { keep = 3, at = clock }: { readonly keep?: number; readonly at?: Clock } = {}) =>
  takeSnapshot(
    { endpoints: ['http://a', 'http://b'], cluster: 'shop.kafscale', keep },
    {
      ...{ clock: at, random: seededRandom(1), logger: silentLogger, store, partBytes: 40_000 },
      connect: etcdThatSends(sent),
    },
  );

const at = (wallMs: number): Clock => Object.assign(Object.create(clock) as Clock, { wallMs: () => wallMs });
const heads = () => [...store.objects.keys()].filter((key) => key.endsWith('snapshot.json'));

test('a snapshot comes back byte for byte', async () => {
  const { key, sizeBytes, revision } = await take();
  expect({ sizeBytes, revision }).toEqual({ sizeBytes: whole.length, revision: 7 });
  const file = join(folder, 'snapshot.db');
  await fetchSnapshot(store, key, file);
  expect(whole.equals(await readFile(file))).toBe(true);
});

test('the head is written last, so what was cut off is no snapshot', async () => {
  const { key } = await take();
  expect(store.writes.at(-1)).toBe(key);
  expect(store.writes.length).toBeGreaterThan(2);
});

test('what etcd sent is stored only if it fits its checksum', async () => {
  await expect(take({ bytes: whole.subarray(0, -1) })).rejects.toThrow('does not fit its checksum');
  const damaged = Buffer.from(whole);
  damaged[5]! ^= 1;
  await expect(take({ bytes: damaged })).rejects.toThrow('does not fit its checksum');
  expect(heads()).toEqual([]);
});

test('a part that the bucket keeps otherwise is no snapshot', async () => {
  store.onCreate = (_key, bytes) => bytes.subarray(1);
  await expect(take()).rejects.toThrow('is not what was written');
  expect(heads()).toEqual([]);
});

test('a part whose upload fails is tried again under another name', async () => {
  let failures = 0;
  store.onCreate = (_key, bytes) => {
    if (failures++ === 1) throw new Error('no answer');
    return bytes;
  };
  const { key } = await take();
  const file = join(folder, 'snapshot.db');
  await fetchSnapshot(store, key, file);
  expect(whole.equals(await readFile(file))).toBe(true);
});

test('no member that lags behind the quorum is asked', async () => {
  await expect(take({ status: { revision: 6 } })).rejects.toThrow('no member of etcd has everything');
  await expect(take({ status: { isLearner: true } })).rejects.toThrow('no member of etcd has everything');
});

test('older ones go once a newer one is whole, never the newest', async () => {
  for (let hour = 0; hour < 5; hour += 1) await take({}, { keep: 2, at: at(hour * hourMs) });
  expect(heads()).toHaveLength(2);
  expect((await listSnapshots(store, 'shop.kafscale')).map(({ takenMs }) => takenMs)).toEqual([3 * hourMs, 4 * hourMs]);
  await expect(take({ bytes: whole.subarray(1) }, { keep: 1, at: at(5 * hourMs) })).rejects.toThrow();
  expect(heads()).toHaveLength(2);
});

test('what a cut-off upload left goes a day later, and what is not ours stays', async () => {
  store.objects.set('etcd-snapshots/shop.kafscale/mine.txt', Buffer.from('x'));
  store.objects.set('etcd-snapshots/shop.kafscale.other/20200101T000000Z-aa/snapshot.json', Buffer.from('x'));
  store.objects.set('default/flush/00/a', Buffer.from('x'));
  await expect(take({ bytes: whole.subarray(1) }, { at: at(0) })).rejects.toThrow();
  const left = () => [...store.objects.keys()].filter((key) => key.includes('19700101T000000Z'));
  await take({}, { at: at(23 * hourMs) });
  expect(left()).not.toEqual([]);
  await take({}, { at: at(25 * hourMs) });
  expect(left()).toEqual([]);
  expect(store.objects.has('etcd-snapshots/shop.kafscale/mine.txt')).toBe(true);
  expect(store.objects.has('etcd-snapshots/shop.kafscale.other/20200101T000000Z-aa/snapshot.json')).toBe(true);
  expect(store.objects.has('default/flush/00/a')).toBe(true);
});

test('a damaged part or head is found before anything is restored', async () => {
  const { key } = await take();
  const part = [...store.objects.keys()].find((one) => one.endsWith('.part'))!;
  store.objects.get(part)![3]! ^= 1;
  await expect(fetchSnapshot(store, key, join(folder, 'a'))).rejects.toThrow('is not what was stored');
  store.objects.set(key, Buffer.from('{}'));
  await expect(fetchSnapshot(store, key, join(folder, 'a'))).rejects.toThrow("is no snapshot's head");
});

test('a file of etcdctl in the bucket is taken too, if it is whole', async () => {
  store.objects.set('backups/etcd.db', whole);
  await fetchSnapshot(store, 'backups/etcd.db', join(folder, 'a'));
  expect(whole.equals(await readFile(join(folder, 'a')))).toBe(true);
  store.objects.set('backups/cut.db', whole.subarray(0, 5_000));
  await expect(fetchSnapshot(store, 'backups/cut.db', join(folder, 'b'))).rejects.toThrow('does not fit the checksum');
});
