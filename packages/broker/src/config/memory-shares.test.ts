import { memoryShares } from './memory-shares.ts';

const flushBytes = 4 * 2 ** 20;
const MiB = 2 ** 20;

describe('memoryShares', () => {
  it.each([undefined, 256 * MiB, 512 * MiB, 4 * 1_024 * MiB])(
    'divides no more than there is, with a limit of %p bytes',
    (limitBytes) => {
      const shares = memoryShares({ flushBytes }, limitBytes);
      const { processBytes, otherBytes, recordBytes, cacheBytes, segmentListBytes } = shares;
      expect(otherBytes + recordBytes + cacheBytes + segmentListBytes).toBeLessThanOrEqual(processBytes);
      expect(processBytes).toBeLessThanOrEqual(limitBytes ?? 512_000_000);
      expect(shares.maxInFlightBytes).toBeLessThan(recordBytes);
      expect(shares.hotTailBytes).toBeLessThan(recordBytes);
      expect(shares.foldBytes + shares.answerBytes + shares.knownFlushBytes).toBeLessThan(recordBytes);
    },
  );

  it('lets 256 MB of requests be in flight within 512 MB', () => {
    expect(memoryShares({ flushBytes }).maxInFlightBytes).toBeGreaterThan(256_000_000);
  });

  it('uses more where there is more', () => {
    const [small, large] = [512 * MiB, 8 * 1_024 * MiB].map((limit) => memoryShares({ flushBytes }, limit));
    expect(large!.maxInFlightBytes).toBeGreaterThan(8 * small!.maxInFlightBytes);
  });

  it('takes what is set', () => {
    const set = { memoryBytes: 1e9, hotTailBytes: 1e6, cacheBytes: 2e6, segmentListBytes: 3e6, maxInFlightBytes: 4e6 };
    expect(memoryShares({ flushBytes, ...set }, 512 * MiB)).toMatchObject({
      ...{ processBytes: 1e9, hotTailBytes: 1e6, cacheBytes: 2e6, segmentListBytes: 3e6, maxInFlightBytes: 4e6 },
    });
  });
});
