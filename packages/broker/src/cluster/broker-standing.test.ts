import { BrokerStanding, inService, maxDrainedPartitions, type Standing } from './broker-standing.ts';

function setUp(initial = inService) {
  const stored: Standing[] = [];
  const standing = new BrokerStanding(initial, (next) => Promise.resolve(stored.push(next)));
  return { standing, stored };
}

describe("a broker's standing", () => {
  it('is stored once per change, and not again for what is so already', async () => {
    const { standing, stored } = setUp();
    await standing.cordon();
    await standing.cordon();
    await standing.drainAll();
    await standing.drainAll();
    await standing.uncordon();
    await standing.uncordon();
    expect(stored.map(({ draining, cordoned }) => [draining, cordoned])).toEqual([
      [false, true],
      [true, true],
      [false, false],
    ]);
  });

  it('remembers what was drained until it is taken into service again, and is cordoned with it', async () => {
    const { standing, stored } = setUp();
    await Promise.all([
      standing.drainSome([{ topicId: 't', partition: 1 }]),
      standing.drainSome([
        { topicId: 't', partition: 2 },
        { topicId: 'u', partition: 0 },
      ]),
    ]);
    await standing.drainSome([{ topicId: 't', partition: 1 }]);
    expect(stored).toHaveLength(2);
    expect(standing.current).toMatchObject({ cordoned: true, draining: false });
    expect([...standing.current.drained].map(([topicId, numbers]) => [topicId, ...numbers])).toEqual([
      ['t', 1, 2],
      ['u', 0],
    ]);
    await standing.uncordon();
    expect(standing.current.drained.size).toBe(0);
  });

  it('goes back to owning nothing where a broker never owns anything', async () => {
    const { standing } = setUp({ ...inService, draining: true });
    await standing.cordon();
    await standing.uncordon();
    expect(standing.current).toMatchObject({ draining: true, cordoned: false });
  });

  it('is as it was when it could not be stored', async () => {
    const standing = new BrokerStanding(inService, () => Promise.reject(new Error('away')));
    await expect(standing.drainAll()).rejects.toThrow('away');
    expect(standing.current).toBe(inService);
  });

  it('is final once the broker stops', async () => {
    const { standing } = setUp();
    await standing.drainForGood();
    await expect(standing.uncordon()).rejects.toThrow('about to stop');
    expect(standing.current.draining).toBe(true);
    // A stop that is asked for twice is one.
    await expect(standing.drainForGood()).resolves.toBeUndefined();
  });

  it('has room for so many partitions by name', async () => {
    const { standing } = setUp();
    const many = Array.from({ length: maxDrainedPartitions }, (_, partition) => ({ topicId: 't', partition }));
    await standing.drainSome(many);
    await expect(standing.drainSome([{ topicId: 'u', partition: 0 }])).rejects.toThrow('drain them all instead');
    expect(standing.current.drained.has('u')).toBe(false);
  });
});
