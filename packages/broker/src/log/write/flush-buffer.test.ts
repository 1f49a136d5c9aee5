import { FlushBuffer } from './flush-buffer.ts';
import { partitionWriter, pendingBatch } from './write-path-fixture.ts';

describe('FlushBuffer', () => {
  it('keeps the batches of a partition in the order they came', () => {
    const [first, second] = [partitionWriter(), partitionWriter({ partition: 1 })];
    const buffer = new FlushBuffer(4);
    const batches = [first, second, first].map((writer) => pendingBatch(writer).batch);
    for (const batch of batches) buffer.add(batch);
    expect([...buffer.batchesByWriter]).toEqual([
      [first, [batches[0], batches[2]]],
      [second, [batches[1]]],
    ]);
  });

  it('counts bytes, batches, and an entry for each batch and each partition', () => {
    const writer = partitionWriter();
    const buffer = new FlushBuffer(0);
    expect(buffer).toMatchObject({ isEmpty: true, sizeBytes: 0, entryCount: 0, batchCount: 0 });
    buffer.add(pendingBatch(writer).batch);
    buffer.add(pendingBatch(writer, { bytes: Buffer.alloc(20) }).batch);
    buffer.add(pendingBatch(partitionWriter({ partition: 1 })).batch);
    expect(buffer).toMatchObject({ isEmpty: false, sizeBytes: 180, entryCount: 5, batchCount: 3 });
  });
});
