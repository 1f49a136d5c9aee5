/** Each condition of the rule is taken out once: a story that passes on the code as it is has to fail then. */
import { importPlanted } from '../model/planted-copy.model.ts';
import type { Edit } from '../model/plants.model.ts';
import type { Scenario } from './garbage-scenarios.ts';

const rule = 'keeper/garbage-rule.ts';
const collector = 'keeper/garbage-collector.ts';
const references = 'keeper/references.ts';
const proof = 'keeper/origin-proof.ts';
const marks = 'keeper/garbage-marks.ts';
const identity = 'keeper/bucket-identity.ts';

interface Plant {
  readonly name: string;
  readonly bug: string;
  readonly edits: readonly Edit[];
}

const plants: readonly Plant[] = [
  {
    name: 'gc-foreign-name',
    bug: 'a name that is not ours is garbage',
    edits: [{ file: rule, replace: `return { verdict: 'unknown' };`, by: `return { verdict: 'garbage' };` }],
  },
  {
    name: 'gc-foreign-maker',
    bug: 'F16 ii: a maker without a lane counts as dead',
    edits: [
      {
        file: proof,
        replace: `if (floor === undefined) return 'foreign';`,
        by: `if (floor === undefined) return 'settled';`,
      },
    ],
  },
  {
    name: 'gc-no-floor',
    bug: 'F16 i: what a living maker wrote is judged by its age',
    edits: [
      {
        file: rule,
        replace: `if (settlement === 'open' || oldest.settlementOf(name) !== 'settled')`,
        by: `if (oldest.settlementOf(name) === 'foreign')`,
      },
    ],
  },
  {
    name: 'gc-floor-included',
    bug: 'the object at the floor counts as settled',
    edits: [{ file: proof, replace: `name.sequence < floor ||`, by: `name.sequence <= floor ||` }],
  },
  {
    name: 'gc-wrong-lane',
    bug: 'one lane speaks for the objects of the other',
    edits: [
      { file: proof, replace: `(kind === 'flush' ? 'data' : 'upkeep')`, by: `(kind === 'flush' ? 'upkeep' : 'data')` },
    ],
  },
  {
    name: 'gc-session-alone',
    bug: 'the floor counts for the dead only, and the living keep their garbage for ever',
    edits: [
      {
        file: proof,
        replace: `name.sequence < floor || !this.#sessions.has(name.incarnation)`,
        by: `!this.#sessions.has(name.incarnation)`,
      },
    ],
  },
  {
    name: 'gc-not-in-checkpoint',
    bug: 'what settled since the oldest checkpoint is deleted, and a rebuild from it misses a link',
    edits: [{ file: rule, replace: ` || oldest.settlementOf(name) !== 'settled'`, by: `` }],
  },
  {
    name: 'gc-no-manifests',
    bug: 'manifests do not count as references',
    edits: [
      {
        file: references,
        replace: `for await (const { key, manifest } of manifestKeysOf(state)) yield { key, objectKey: manifest.objectKey };`,
        by: `void manifestKeysOf;`,
      },
    ],
  },
  {
    name: 'gc-no-shelf-contents',
    bug: 'what lies on shelves does not count as referred to',
    edits: [
      {
        file: references,
        replace: `for (const { objectKey } of manifests) yield { key, objectKey };`,
        by: `void manifests;`,
      },
    ],
  },
  {
    name: 'gc-no-shelves',
    bug: 'shelves themselves do not count as referred to',
    edits: [
      {
        file: references,
        replace: `if (record.shelf !== undefined) yield { key, objectKey: record.shelf.objectKey };`,
        by: ``,
      },
    ],
  },
  {
    name: 'gc-no-snapshots',
    bug: 'producer snapshots and lists of segments do not count as referred to',
    edits: [
      {
        file: references,
        replace: `if (record.producerSnapshot !== undefined) yield { key, objectKey: record.producerSnapshot.objectKey };`,
        by: ``,
      },
      {
        file: references,
        replace: `for (const { list } of record.chunks) if (list !== undefined) yield { key, objectKey: list.objectKey };`,
        by: ``,
      },
    ],
  },
  {
    name: 'gc-no-chunk-contents',
    bug: 'segments that only a chunk lists do not count as referred to',
    edits: [
      {
        file: references,
        replace: `record.chunks.filter(({ list }) => isNew(list, alreadyRead))`,
        by: `record.chunks.filter(({ list }) => isNew(list, alreadyRead) && false)`,
      },
    ],
  },
  {
    name: 'gc-no-index',
    bug: 'the index beside a segment does not count as referred to',
    edits: [{ file: references, replace: `if (index !== undefined) yield { key, objectKey: index };`, by: `` }],
  },
  {
    name: 'gc-no-checkpoint-references',
    bug: 'what checkpoints refer to is deleted',
    edits: [
      { file: collector, replace: `this.#references([now, ...kept], signal)`, by: `this.#references([now], signal)` },
    ],
  },
  {
    name: 'gc-old-references',
    bug: 'references are those of the oldest checkpoint alone',
    edits: [
      { file: collector, replace: `this.#references([now, ...kept], signal)`, by: `this.#references(kept, signal)` },
    ],
  },
  {
    name: 'gc-no-age',
    bug: 'age does not count',
    edits: [{ file: rule, replace: `if (!(storeNowMs - modifiedMs >= graceMs))`, by: `if (!(storeNowMs >= graceMs))` }],
  },
  {
    name: 'gc-own-clock',
    bug: "age is by the broker's clock",
    edits: [
      {
        file: collector,
        replace: `storeNowMs: newest.modifiedMs`,
        by: `storeNowMs: this.#dependencies.clock.wallMs()`,
      },
    ],
  },
  {
    name: 'gc-no-second-look',
    bug: 'garbage is deleted when it is first seen',
    edits: [
      {
        file: collector,
        replace: `else if (isRipe === true) ripe.push(info);`,
        by: `else if (isRipe !== false) ripe.push(info);`,
      },
    ],
  },
  {
    name: 'gc-no-reader-grace',
    bug: 'a mark is ripe at once',
    edits: [{ file: marks, replace: `: seenForMs >= readerGraceMs;`, by: `: seenForMs >= 0;` }],
  },
  {
    name: 'gc-marks-decide',
    bug: 'what is marked is deleted without being judged again',
    edits: [
      {
        file: collector,
        replace: `if (search.judge(info) !== 'garbage') continue;`,
        by: `if (search.judge(info) !== 'garbage' && this.#marks.isRipe(info.key) !== true) continue;`,
      },
    ],
  },
  {
    name: 'gc-no-agreement',
    bug: 'F16 iii, F17: nobody asks whether the stores belong together',
    edits: [
      {
        file: collector,
        replace: `    await checkAgreement(identity, this.#dependencies);\n`,
        by: `    void checkAgreement;\n    void identity;\n`,
      },
    ],
  },
  {
    name: 'gc-store-went-back',
    bug: 'F17: a store behind its checkpoint is believed',
    edits: [
      { file: identity, replace: `  await checkRevision(identity, dependencies);\n`, by: `  void checkRevision;\n` },
    ],
  },
  {
    name: 'gc-two-clusters',
    bug: 'F16 iii: an identity of another cluster is overlooked',
    edits: [{ file: identity, replace: `if (foreign.length > 0) {`, by: `if (foreign.length > 1_000) {` }],
  },
  {
    name: 'gc-without-checkpoint',
    bug: 'garbage is looked for before there is a checkpoint',
    edits: [
      {
        file: collector,
        replace: `    if (newest === undefined) return undefined;

    const kept = await Promise.all(checkpoints.map(({ headKey }) => openCheckpoint(this.#dependencies, headKey)));
    const oldest = await OriginProof.of(kept[0]!);`,
        by: `    const kept = await Promise.all(checkpoints.map(({ headKey }) => openCheckpoint(this.#dependencies, headKey)));
    const oldest = await OriginProof.of(kept[0] ?? (await liveState(this.#dependencies)));`,
      },
      { file: collector, replace: `storeNowMs: newest.modifiedMs`, by: `storeNowMs: newest?.modifiedMs ?? Infinity` },
    ],
  },
  {
    name: 'gc-unreadable',
    bug: 'a shelf that cannot be read counts as empty',
    edits: [
      {
        file: references,
        replace: `    onLost(list);\n`,
        by: ``,
      },
    ],
  },
  {
    name: 'gc-not-controller',
    bug: 'one that is not the controller any more deletes on',
    edits: [{ file: collector, replace: `if (!this.#dependencies.isController())`, by: `if (false as boolean)` }],
  },
  {
    name: 'gc-no-fence',
    bug: 'a broker without a session deletes on',
    edits: [{ file: collector, replace: `      await lane.commit({ operations: [] });\n`, by: `      void lane;\n` }],
  },
  {
    name: 'gc-lanes-at-once',
    bug: 'the lanes of the dead go at once, and what comes late is foreign for ever',
    edits: [{ file: collector, replace: `isLaneRipe(one) === true)`, by: `isLaneRipe(one) !== null)` }],
  },
  {
    name: 'gc-lanes-with-traces',
    bug: 'lanes go although an object of theirs is left',
    edits: [
      { file: collector, replace: `!live.hasSession(one) && !search.hasTraceOf(one)`, by: `!live.hasSession(one)` },
    ],
  },
  {
    name: 'gc-tombstones-by-age',
    bug: 'a tombstone goes by its age alone',
    edits: [
      {
        file: collector,
        replace: `else if (!search.mayHoldRecordsOf(name, diedMs + clockSlackMs))`,
        by: `else if (name !== '')`,
      },
    ],
  },
];

describe('the stories of garbage collection find', () => {
  it.each(plants)('$bug', async (plant) => {
    const { scenarios } = (await importPlanted(plant, 'keeper/garbage-scenarios.ts')) as {
      readonly scenarios: readonly Scenario[];
    };
    const findings: string[] = [];
    for (const { name, run } of scenarios) {
      const finding = await run().catch((error: unknown) => String(error));
      if (finding !== undefined) findings.push(`${name}: ${finding}`);
      if (findings.length > 0) break;
    }
    expect(findings).toHaveLength(1);
  });
});
