/**
 * Bugs to plant: each is a change of the real source that breaks one rule, and what the model is to say about it. The snippets are
 * exact, so a plant that no longer fits the code fails its test instead of growing stale. F and K numbers are those of the commit
 * protocol's review; "Go" numbers are bugs that the first KafScale had.
 */
import type { ViolationKind } from './violation.model.ts';

export interface Edit {
  /** Relative to the broker's `src`. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly replace: string;
  readonly by: string;
}

export interface Plant {
  /** Names its folder. */
  readonly name: string;
  readonly bug: string;
  readonly edits: readonly Edit[];
  /** What may be the first thing to go wrong. */
  readonly shows: readonly ViolationKind[];
}

const committer = 'log/write/committer.ts';
const flusher = 'log/write/flusher.ts';
const appender = 'log/write/log-appender.ts';
const writer = 'log/write/partition-writer.ts';
const producerState = 'log/producer-state.ts';
const recovery = 'log/upkeep/recovery.ts';
const lane = 'metadata/session-lane.ts';
const session = 'metadata/session.ts';
const ownership = 'cluster/ownership.ts';
const storedOwnership = 'cluster/stored-ownership.ts';

const laneCompare = `        { key: this.#key, target: 'value', operator: '=', operand: this.#value },\n`;
const sessionCompare = `        {
          key: this.#sessionKey,
          target: 'createRevision',
          operator: '=',
          operand: this.#session.createRevision,
        },
`;
const commitCall = `      modRevision = await lane.commit({`;

export const plants: readonly Plant[] = [
  {
    name: 'f1-absent-key',
    bug: 'F1: a commit rests on the absence of its manifest instead of a counter, and a late copy comes after the fold',
    edits: [
      {
        file: lane,
        replace: laneCompare,
        by: `        ...commit.operations
          .filter(({ type, key }) => type === 'put' && key.startsWith('manifests/'))
          .map(({ key }) => ({ key, target: 'createRevision', operator: '=', operand: 0 }) as const),\n`,
      },
    ],
    shows: ['applied again', 'failed and committed'],
  },
  {
    name: 'f3-close-does-not-wait',
    bug: 'F3: a partition is handed over while closed flushes that hold it are on their way',
    edits: [
      {
        file: appender,
        replace: `    await this.settled();\n    if (this.#logs.get`,
        by: `    if (this.#logs.get`,
      },
    ],
    shows: ['fenced writer committed', 'offset reused', 'session overestimated'],
  },
  {
    name: 'f4-two-takers',
    bug: 'F4: a takeover does not compare the record it read',
    edits: [
      {
        file: storedOwnership,
        replace: `    compare.set(key, { key, target: 'modRevision', operator: '=', operand: modRevision });\n`,
        by: `    void modRevision;\n`,
      },
    ],
    shows: ['went back', 'taken from the living', 'session overestimated'],
  },
  {
    name: 'f5-pending-is-duplicate',
    bug: 'F5: a duplicate of a pending batch is acknowledged',
    edits: [
      {
        file: appender,
        replace: `        check.batch.onSettled(listener);\n`,
        by: `        listener({ committed: true, baseOffset: check.batch.baseOffset });\n`,
      },
    ],
    shows: ['acknowledged and not committed', 'stale read'],
  },
  {
    name: 'f6-open-flush-survives',
    bug: 'F6: a failed flush leaves the open one as it is',
    edits: [
      {
        file: flusher,
        replace: `    const abandoned = this.#open.batchesByWriter;\n`,
        by: `    const abandoned = new FlushBuffer(0).batchesByWriter;\n`,
      },
      {
        file: flusher,
        replace: `    const firstFailed = failed[0]?.flush.sequence ?? this.#open.sequence;
    this.#open = new FlushBuffer(this.#open.sequence + 1);
`,
        by: `    const firstFailed = failed[0]?.flush.sequence ?? this.#open.sequence;\n`,
      },
    ],
    shows: ['out of order'],
  },
  {
    name: 'f6-nothing-left',
    bug: 'F6: a roll back forgets a producer that has nothing committed, and batches behind the failed ones still arrive',
    edits: [
      {
        file: producerState,
        replace: `    for (const producer of this.#producers.values()) {
      if (producer.pending.length > 0) producer.pending = producer.pending.filter((batch) => !failed(batch));
    }
`,
        by: `    for (const [producerId, producer] of this.#producers) {
      producer.pending = producer.pending.filter((batch) => !failed(batch));
      if (producer.pending.length === 0 && producer.committed.length === 0) this.#producers.delete(producerId);
    }
`,
      },
    ],
    shows: ['out of order', 'refused in order'],
  },
  {
    name: 'f9-shown-before-commit',
    bug: 'F9: readers see a flush when its object is written',
    edits: [
      {
        file: committer,
        replace: `    failpoint('before-commit');\n`,
        by: `    failpoint('before-commit');
    this.#dependencies.hotTail.add(upload.objectKey, flush.body, flush.slab);
    for (const { writer, batches: _, ...extent } of flush.extents) {
      writer.log.append({ ...extent, leaderEpoch: writer.log.leaderEpoch, objectKey: upload.objectKey });
    }
`,
      },
      { file: committer, replace: `    this.#dependencies.hotTail.add(objectKey, flush.body, flush.slab);\n`, by: `` },
      {
        file: committer,
        replace: `      writer.log.append({ ...extent, leaderEpoch: writer.log.leaderEpoch, objectKey });\n`,
        by: `      void [extent, objectKey];\n`,
      },
    ],
    shows: ['phantom', 'wrong bytes', 'crashed by itself'],
  },
  {
    name: 'f11-producers-forgotten',
    bug: 'F11: a new owner does not know what producers committed',
    edits: [
      {
        file: recovery,
        replace: `  return { recovered: tiled.recovered, committedBatches };`,
        by: `  void committedBatches;\n  return { recovered: tiled.recovered, committedBatches: [] };`,
      },
    ],
    shows: ['duplicate', 'out of order', 'refused in order'],
  },
  {
    name: 'f26-log-start-moves-first',
    bug: 'F26: a log start is answered before it is stored',
    edits: [
      {
        file: 'log/stored-log-starts.ts',
        replace: `      await this.#updateRecord(`,
        by: `      const stored = this.#updateRecord(`,
      },
      {
        file: 'log/stored-log-starts.ts',
        replace: `        return withoutDeadSegments({ ...record, logStartOffset });\n      });\n`,
        by: `        return withoutDeadSegments({ ...record, logStartOffset });\n      });\n      void stored.catch(() => undefined);\n`,
      },
    ],
    shows: ['went back'],
  },
  {
    name: 'f29-leased-manifest',
    bug: 'F29: manifests carry the lease of the session and vanish with it',
    edits: [
      {
        file: lane,
        replace: `success: [...commit.operations, {`,
        by: `success: [
        ...commit.operations.map((operation) =>
          operation.type === 'put' && operation.key.startsWith('manifests/') ? { ...operation, leaseId: this.#session.leaseId } : operation,
        ), {`,
      },
    ],
    shows: ['lost', 'does not tile', 'offset reused'],
  },
  {
    name: 'f29-lease-from-the-answer',
    bug: 'F29: session time counts from the answer of a keepalive, whenever that comes',
    edits: [
      {
        file: session,
        replace: `      if (this.alive) this.#validUntilMs = sentMs + Math.min(ttlMs, settings.ttlMs);\n      else await this.#giveUp();\n`,
        by: `      this.#validUntilMs = clock.monotonicMs() + Math.min(ttlMs, settings.ttlMs) + 0 * sentMs;\n`,
      },
    ],
    shows: ['session overestimated', 'refused in order'],
  },
  {
    name: 'k1-unanswered-is-refused',
    bug: 'K1: a lane reports a conflict while a copy without an answer can still apply',
    edits: [
      {
        file: lane,
        replace: `    if (outcome.copiesUnanswered || outcome.refusal.kind === 'conflict') {`,
        by: `    if ((outcome.copiesUnanswered || outcome.refusal.kind === 'conflict') && next.counter < 0n) {`,
      },
    ],
    shows: ['applied again', 'acknowledged and not committed', 'failed and committed'],
  },
  {
    name: 'k1-unknown-is-failure',
    bug: 'K1: a transaction without an answer counts as failed',
    edits: [
      {
        file: lane,
        replace: `        copiesUnanswered = true;\n`,
        by: `        if (open === undefined) return { refusal: new MetadataError('conflict', 'no answer'), copiesUnanswered };\n        copiesUnanswered = true;\n`,
      },
      {
        file: lane,
        replace: `    if (outcome.copiesUnanswered || outcome.refusal.kind === 'conflict') {`,
        by: `    if (outcome.copiesUnanswered) {`,
      },
    ],
    shows: ['failed and committed', 'applied again', 'duplicate', 'acknowledged and not committed'],
  },
  {
    name: 'k1-settled-without-revoking',
    bug: 'K1: an unknown outcome is read from the lane while the session lives',
    edits: [{ file: lane, replace: `        await this.#session.revoke(reason);\n`, by: `` }],
    shows: ['failed and committed', 'applied again', 'duplicate', 'acknowledged and not committed'],
  },
  {
    name: 'k4-epoch-not-raised',
    bug: 'K2, K4: a takeover keeps the leader epoch',
    edits: [{ file: storedOwnership, replace: `previous.leaderEpoch + 1`, by: `previous.leaderEpoch` }],
    shows: ['went back'],
  },
  {
    name: 'k5-offsets-not-given-back',
    bug: 'K5: a failed flush keeps its offsets',
    edits: [{ file: writer, replace: `    this.nextOffset = nextOffset;\n`, by: `    void nextOffset;\n` }],
    shows: ['hole'],
  },
  {
    name: 'k5-sequences-not-given-back',
    bug: 'K5: a failed flush leaves its batches pending',
    edits: [
      {
        file: writer,
        replace: `    this.producers.rollBack((batch) => batch.flushSequence >= flushSequence);\n`,
        by: `    void flushSequence;\n`,
      },
    ],
    shows: ['refused in order', 'stuck', 'out of order'],
  },
  {
    name: 'acknowledged-before-commit',
    bug: 'DESIGN 5: producers are answered when the object is written',
    edits: [
      {
        file: committer,
        replace: commitCall,
        by: `      for (const { batches } of flush.extents) {
        for (const batch of batches) batch.settle({ committed: true, baseOffset: batch.baseOffset });
      }
${commitCall}`,
      },
    ],
    shows: ['acknowledged and not committed'],
  },
  {
    name: 'session-time-not-compared',
    bug: 'F18: a broker whose session time is over still judges batches',
    edits: [{ file: appender, replace: ` || !this.#isSessionAlive()) {`, by: `) {` }],
    shows: ['refused in order'],
  },
  {
    name: 'tail-memory-given-back',
    bug: 'the tail shows memory that was given back',
    edits: [
      {
        file: committer,
        replace: `    this.#dependencies.hotTail.add(objectKey, flush.body, flush.slab);\n`,
        by: `    this.#dependencies.hotTail.add(objectKey, flush.body, flush.slab);
    try {
      flush.slab.release();
    } catch {
      // Everything was given back already.
    }
`,
      },
    ],
    shows: ['wrong bytes', 'phantom', 'hole', 'crashed by itself'],
  },
  {
    name: 'go1-failed-put-is-skipped',
    bug: 'Go 1: a failed PUT fails its own batches alone, and those behind it are committed over the hole',
    edits: [
      {
        file: committer,
        replace: `    const failed = this.#queue;\n    this.#queue = [];\n`,
        by: `    const failed = this.#queue.splice(0, 1);\n`,
      },
      {
        file: flusher,
        replace: `    const abandoned = this.#open.batchesByWriter;\n`,
        by: `    const abandoned = new FlushBuffer(0).batchesByWriter;\n`,
      },
      {
        file: flusher,
        replace: `    const firstFailed = failed[0]?.flush.sequence ?? this.#open.sequence;
    this.#open = new FlushBuffer(this.#open.sequence + 1);
`,
        by: `    const firstFailed = Number.MAX_SAFE_INTEGER;\n`,
      },
      {
        file: flusher,
        replace: `    for (const [writer, nextOffset] of nextOffsets) writer.rollBack(firstFailed, nextOffset);\n`,
        by: `    for (const writer of nextOffsets.keys()) writer.rollBack(firstFailed, writer.nextOffset);\n`,
      },
    ],
    shows: ['hole', 'out of order'],
  },
  {
    name: 'go1-failed-put-is-committed',
    bug: 'Go 1: a flush whose object could not be written is committed all the same',
    edits: [
      {
        file: flusher,
        replace: `        if (hopeless || attempts.areOver()`,
        by: `        if (hopeless) return { objectKey };\n        if (hopeless || attempts.areOver()`,
      },
    ],
    shows: ['object missing'],
  },
  {
    name: 'go2-state-from-before',
    bug: 'Go 2: an owner goes on from what it read before it took the partition',
    edits: [
      {
        file: recovery,
        replace: `    const range = { key: prefix, end: prefixEnd(prefix), revision };`,
        by: `    const range = { key: prefix, end: prefixEnd(prefix), revision: Math.max(2, revision - 3) };`,
      },
    ],
    shows: ['lost', 'offset reused', 'does not tile'],
  },
  {
    name: 'go4-no-session-compare',
    bug: 'Go 4: commits do not compare that the session lives',
    edits: [{ file: lane, replace: sessionCompare, by: `` }],
    shows: ['fenced writer committed', 'offset reused', 'went back', 'failed and committed', 'applied again'],
  },
  {
    name: 'go4-record-put-unconditionally',
    bug: 'Go 4: the owner puts its record without comparing, while a hand-over is on its way',
    edits: [
      { file: ownership, replace: `    await this.#held.unchanging(all);\n`, by: `` },
      {
        file: storedOwnership,
        replace: `    return unchanged(metadataKeys.partition(topicId, partition), modRevision);\n`,
        by: `    void modRevision;
    return { key: metadataKeys.partition(topicId, partition), target: 'modRevision', operator: '>', operand: 0 };\n`,
      },
    ],
    shows: ['went back', 'taken from the living', 'session overestimated'],
  },
  {
    name: 'go5-owner-by-broker-id',
    bug: 'Go 5: a partition counts as mine when its record names my broker id',
    edits: [
      {
        file: ownership,
        replace: `const isOurs = record?.owner === this.#me.incarnation;`,
        by: `const isOurs = record?.brokerId === this.#me.brokerId;`,
      },
      {
        file: storedOwnership,
        replace: `    if (owner !== '' && owner !== me.incarnation) {`,
        by: `    if (owner !== '' && previous?.brokerId !== me.brokerId) {`,
      },
    ],
    shows: ['taken from the living', 'session overestimated'],
  },
];
