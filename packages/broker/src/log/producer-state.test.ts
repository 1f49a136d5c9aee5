import { ErrorCode } from '@kafscale/protocol';
import {
  lastSequence,
  nextSequence,
  ProducerState,
  type CommittedBatch,
  type SequencedBatch,
} from './producer-state.ts';

const wrapAt = 2 ** 31 - 1;

function sequenced(firstSequence: number, { epoch = 0, count = 1 } = {}): SequencedBatch {
  return {
    producerId: 7n,
    producerEpoch: epoch,
    firstSequence,
    lastSequence: lastSequence(firstSequence, count),
  };
}

const committed = (batch: SequencedBatch, baseOffset: number, lastTimestamp = 0): CommittedBatch => ({
  ...batch,
  baseOffset,
  lastTimestamp,
});

const refused = (errorCode: ErrorCode) => ({ outcome: 'refused', errorCode });
const outOfOrder = refused(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER);

describe('ProducerState', () => {
  it('takes any first sequence of a producer it does not know', () => {
    expect(new ProducerState().check(sequenced(41))).toEqual({ outcome: 'append' });
  });

  it('wants the next sequence of a producer it knows', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(0, { count: 3 }), 0));
    expect(state.check(sequenced(3))).toEqual({ outcome: 'append' });
    expect(state.check(sequenced(4))).toEqual(outOfOrder);
    expect(state.check(sequenced(1))).toEqual(outOfOrder);
  });

  it('wraps from 2147483647 to 0, also inside a batch', () => {
    expect(nextSequence(wrapAt)).toBe(0);
    expect(lastSequence(wrapAt - 1, 4)).toBe(1);
    const state = new ProducerState();
    state.commit(committed(sequenced(wrapAt - 1, { count: 2 }), 0));
    expect(state.check(sequenced(0))).toEqual({ outcome: 'append' });
  });

  it('knows the last five committed batches as duplicates, and no more', () => {
    const state = new ProducerState();
    for (let sequence = 0; sequence < 6; sequence += 1) state.commit(committed(sequenced(sequence), 100 + sequence));
    expect(state.check(sequenced(1))).toMatchObject({ outcome: 'committed', batch: { baseOffset: 101 } });
    expect(state.check(sequenced(5))).toMatchObject({ outcome: 'committed', batch: { baseOffset: 105 } });
    expect(state.check(sequenced(0))).toEqual(outOfOrder);
  });

  it('does not take a batch with other bounds for a duplicate', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(0, { count: 3 }), 0));
    expect(state.check(sequenced(0, { count: 2 }))).toEqual(outOfOrder);
  });

  it('tells a pending batch from a committed one (F5)', () => {
    const state = new ProducerState();
    const pending = sequenced(0);
    state.accept(pending);
    expect(state.check(sequenced(0))).toEqual({ outcome: 'pending', batch: pending });
    state.commit(committed(pending, 9));
    expect(state.check(sequenced(0))).toMatchObject({ outcome: 'committed', batch: { baseOffset: 9 } });
  });

  it('forgets failed batches, so that their retry is new', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(0), 0));
    state.accept(sequenced(1));
    state.accept(sequenced(2));
    expect(state.check(sequenced(3))).toEqual({ outcome: 'append' });
    state.rollBack(() => true);
    expect(state.check(sequenced(3))).toEqual(outOfOrder);
    expect(state.check(sequenced(1))).toEqual({ outcome: 'append' });
  });

  it('lets nothing that was sent behind failed batches pass before them, also when none was ever committed', () => {
    const state = new ProducerState();
    state.accept(sequenced(0));
    state.accept(sequenced(1));
    state.rollBack(() => true);
    expect(state.check(sequenced(2))).toEqual(outOfOrder);
    expect(state.check(sequenced(0))).toEqual({ outcome: 'append' });
  });

  it('refuses an older epoch, and wants a newer one to start at 0', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(4, { epoch: 3 }), 0));
    expect(state.check(sequenced(5, { epoch: 2 }))).toEqual(refused(ErrorCode.INVALID_PRODUCER_EPOCH));
    expect(state.check(sequenced(5, { epoch: 4 }))).toEqual(outOfOrder);
    expect(state.check(sequenced(0, { epoch: 4 }))).toEqual({ outcome: 'append' });
  });

  it('goes back to the committed epoch when the newer one failed', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(4, { epoch: 3 }), 0));
    state.accept(sequenced(0, { epoch: 4 }));
    expect(state.check(sequenced(5, { epoch: 3 }))).toEqual(refused(ErrorCode.INVALID_PRODUCER_EPOCH));
    state.rollBack(() => true);
    expect(state.check(sequenced(5, { epoch: 3 }))).toEqual({ outcome: 'append' });
  });

  it('clears the batches of older epochs at the first commit of a newer one', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(0), 0));
    state.commit(committed(sequenced(0, { epoch: 1 }), 1));
    expect(state.check(sequenced(0, { epoch: 1 }))).toMatchObject({ outcome: 'committed', batch: { baseOffset: 1 } });
    expect(state.check(sequenced(1, { epoch: 1 }))).toEqual({ outcome: 'append' });
  });

  it('forgets producers that were idle for too long, but none with batches under way', () => {
    const state = new ProducerState();
    state.commit(committed(sequenced(0), 0, 1_000));
    const other = { ...sequenced(0), producerId: 8n };
    state.accept(other);
    state.expireBefore(1_001);
    expect(state.check(sequenced(40))).toEqual({ outcome: 'append' });
    expect(state.check(other)).toEqual({ outcome: 'pending', batch: other });
  });

  it('forgets a producer of which everything failed, but not at once', () => {
    const state = new ProducerState();
    state.accept(sequenced(0));
    state.rollBack(() => true);
    state.expireBefore(1_000);
    expect(state.size).toBe(1);
    state.expireBefore(1_001);
    expect(state.size).toBe(0);
  });
});
