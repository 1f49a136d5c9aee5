/** Record batches of the model: bytes of the right shape that name who sent them and which attempt they are. */
const headerBytes = 61;

export interface BatchLabel {
  readonly producer: number;
  /** Counts what the producer made, from 0. */
  readonly index: number;
  /** Unique over all sends of a world. */
  readonly attempt: number;
}

export interface DecodedBatch extends BatchLabel {
  readonly baseOffset: number;
  readonly leaderEpoch: number;
  readonly recordCount: number;
}

export function encodeBatch({ producer, index, attempt }: BatchLabel, recordCount: number): Buffer {
  const bytes = Buffer.alloc(headerBytes + 12);
  bytes.writeInt32BE(bytes.length - 12, 8);
  bytes.writeInt32BE(recordCount, 57);
  bytes.writeInt32BE(producer, headerBytes);
  bytes.writeInt32BE(index, headerBytes + 4);
  bytes.writeInt32BE(attempt, headerBytes + 8);
  return bytes;
}

export function decodeBatches(bytes: Buffer): DecodedBatch[] {
  const batches: DecodedBatch[] = [];
  for (let at = 0; at + headerBytes + 12 <= bytes.length; at += headerBytes + 12) {
    batches.push({
      baseOffset: bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4),
      leaderEpoch: bytes.readInt32BE(at + 12),
      recordCount: bytes.readInt32BE(at + 57),
      producer: bytes.readInt32BE(at + headerBytes),
      index: bytes.readInt32BE(at + headerBytes + 4),
      attempt: bytes.readInt32BE(at + headerBytes + 8),
    });
  }
  return batches;
}
