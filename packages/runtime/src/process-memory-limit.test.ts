import { processMemoryLimit } from './process-memory-limit.ts';

describe('processMemoryLimit', () => {
  it.each([undefined, 0, 2 ** 64, 1_000])('knows of no limit where the system says %p', (constrainedBytes) => {
    expect(processMemoryLimit(constrainedBytes, 1_000)).toBeUndefined();
  });

  it("is the container's", () => {
    expect(processMemoryLimit(512, 1_000)).toBe(512);
  });
});
