import { FakeClock } from '@kafscale/testkit';
import { makeLog } from '../log/read/log-fixture.ts';
import type { BrokerImage } from '../metadata/metadata-image.ts';
import { ReadReplicas } from './read-replicas.ts';

const broker = (brokerId: number, rack: string, readOnly: boolean): BrokerImage => ({
  ...{ brokerId, incarnation: `i${brokerId}`, host: 'h', port: 1, rack, readOnly, draining: readOnly },
});

function setUp() {
  const clock = new FakeClock();
  const replicas = new ReadReplicas(clock);
  const brokers = [broker(1, 'a', false), broker(2, 'b', false), broker(3, 'b', true), broker(4, 'b', true)];
  const preferred = (rackId: string, { fetchOffset = 0, partition = 0, connectionId = 1, rackOfLeader = 'a' } = {}) => {
    const log = makeLog({ partition }, { logStartOffset: 0, nextOffset: 10 });
    const image = { brokers: () => brokers };
    return replicas.preferred(image, log, { rackId, connectionId, fetchOffset }, rackOfLeader);
  };
  return { clock, preferred };
}

describe('the replica to read from', () => {
  it('is one of the consumer’s rack that only reads, the same one for a partition', () => {
    const { preferred } = setUp();
    expect([0, 1, 2].map((partition) => preferred('b', { partition }))).toEqual([3, 4, 3]);
    expect(preferred('b', { connectionId: 2 })).toBe(3);
  });

  it('is the leader without a rack, in its own rack, and where nobody else reads', () => {
    const { preferred } = setUp();
    expect(preferred('')).toBeUndefined();
    expect(preferred('a')).toBeUndefined();
    expect(preferred('b', { rackOfLeader: 'b' })).toBeUndefined();
    expect(preferred('c')).toBeUndefined();
  });

  it('is the leader for offsets that are not in the log', () => {
    const { preferred } = setUp();
    expect(preferred('b', { fetchOffset: -1 })).toBeUndefined();
    expect(preferred('b', { fetchOffset: 11 })).toBeUndefined();
    expect(preferred('b', { fetchOffset: 10 })).toBe(3);
  });

  it('is the leader for a minute when the consumer comes back', () => {
    const { clock, preferred } = setUp();
    expect(preferred('b')).toBe(3);
    clock.advance(59_999);
    expect(preferred('b')).toBeUndefined();
    expect(preferred('b', { partition: 1 })).toBe(4);
    clock.advance(1);
    expect(preferred('b')).toBe(3);
  });
});
