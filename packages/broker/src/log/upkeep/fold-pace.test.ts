import { FakeClock } from '@kafscale/testkit';
import { FoldPace } from './fold-pace.ts';

const { signal } = new AbortController();
const mebibyte = 2 ** 20;

/** How long so many pieces take, worked on by so many at once. */
async function timeFor(pieces: number, bytes: number, atOnce: number, dueBytes = 0): Promise<number> {
  const clock = new FakeClock();
  const pace = new FoldPace(clock);
  pace.follow(dueBytes);
  const startedMs = clock.monotonicMs();
  let left = pieces;
  const work = async () => {
    while (left > 0) {
      left -= 1;
      await pace.spend(bytes, signal);
    }
  };
  await clock.runUntilSettled(Promise.all(Array.from({ length: atOnce }, work)));
  return clock.monotonicMs() - startedMs;
}

describe('FoldPace', () => {
  it.each([
    { pieces: 16, bytes: mebibyte, atOnce: 1 },
    { pieces: 16, bytes: mebibyte, atOnce: 8 },
    { pieces: 1_600, bytes: mebibyte / 100, atOnce: 8 },
    { pieces: 16_000, bytes: mebibyte / 1_000, atOnce: 1 },
  ])('takes a second for 16 MiB in $pieces pieces, $atOnce at once', async ({ pieces, bytes, atOnce }) => {
    const takenMs = await timeFor(pieces, bytes, atOnce);
    expect(takenMs).toBeGreaterThan(900);
    expect(takenMs).toBeLessThan(1_100);
  });

  it('is faster when much is due', async () => {
    expect(await timeFor(64, mebibyte, 4, 30 * 64 * mebibyte)).toBeLessThan(1_100);
  });
});
