/** The tiers' model on a copy of the source with one bug planted: it has to say so. */
import { importPlanted } from '../../model/planted-copy.model.ts';
import type { Plant } from '../../model/plants.model.ts';
import type * as World from './tiers-world.model.ts';

const maxSchedules = 120;

interface TiersPlant extends Pick<Plant, 'name' | 'bug' | 'edits'> {
  readonly shows: RegExp;
}

const plants: readonly TiersPlant[] = [
  {
    name: 'tiers-f11-no-snapshot',
    bug: 'F11: a fold forgets the producers whose manifests die by it',
    edits: [
      {
        file: 'log/upkeep/folding.ts',
        replace: `batches.length === 0 ? undefined : builder`,
        by: `batches.length >= 0 ? undefined : builder`,
      },
    ],
    shows: /is forgotten|a batch sent again/,
  },
  {
    name: 'tiers-f11-snapshot-too-old',
    bug: 'F11: what is folded counts as known to a snapshot that was made before',
    edits: [
      {
        file: 'log/upkeep/folding.ts',
        replace: `  const { foldedOffset, epochStarts, chunks, segments, producerSnapshot } = planned;`,
        by: `  const { foldedOffset, epochStarts, chunks, segments } = planned;
  const producerSnapshot = record.producerSnapshot ?? planned.producerSnapshot;`,
      },
    ],
    shows: /is forgotten|a batch sent again/,
  },
  {
    name: 'tiers-f12-blind-publisher',
    bug: 'F12: a fold is published over whatever the record has become',
    edits: [
      {
        file: 'log/upkeep/folding.ts',
        replace: `  if (log.closed || record.leaderEpoch !== log.leaderEpoch || Number(record.foldedOffset) !== foldedBefore) {`,
        by: `  if (foldedBefore < 0) {`,
      },
      {
        file: 'log/upkeep/tiers-broker.model.ts',
        replace: `          compare: [{ key, target: 'modRevision', operator: '=', operand: held.modRevision }],
          operations: [{ type: 'put', key, value: metadata.PartitionRecord.encode(record).finish() }],
        });
        [held`,
        by: `          operations: [{ type: 'put', key, value: metadata.PartitionRecord.encode(record).finish() }],
        });
        [held`,
      },
      {
        file: 'log/upkeep/tiers-broker.model.ts',
        replace: `    this.#held.delete(keyOf(topicId, partition));
    await this.session`,
        by: `    await this.session`,
      },
    ],
    shows: /./,
  },
  {
    name: 'tiers-k7-floor-not-held',
    bug: 'K7: the floor passes a publication that is open, and its objects are collected',
    edits: [
      {
        file: 'log/upkeep/publications.ts',
        replace: `    for (const sequence of this.#open) floor = Math.min(floor, sequence);\n`,
        by: `    floor = Math.max(floor, this.#open.size);\n`,
      },
    ],
    shows: /cannot be read|no object/,
  },
  {
    name: 'tiers-f9b-two-revisions',
    bug: 'F9b: manifests and shelves are read at different revisions',
    edits: [
      {
        file: 'log/upkeep/recovery.ts',
        replace: `    const range = { key: prefix, end: prefixEnd(prefix), revision };`,
        by: `    void revision;\n    const range = { key: prefix, end: prefixEnd(prefix), revision: undefined as never };`,
      },
    ],
    shows: /is next|the end/,
  },
  {
    name: 'tiers-dead-too-early',
    bug: 'F13: an extent counts as dead although only its first part is folded',
    edits: [
      {
        file: 'log/upkeep/dead-extents.ts',
        replace: `    return nextOffset <= (`,
        by: `    return nextOffset - 1 <= (`,
      },
    ],
    shows: /is next|ends at/,
  },
  {
    name: 'tiers-known-believed',
    bug: 'what is known beforehand is believed, whether its key is still there or not',
    edits: [
      {
        file: 'log/upkeep/known-flushes.ts',
        replace: `      return await use({`,
        by: `      for (const id of this.#index.sourceIds) {
        const source = this.#index.source(id);
        if (source !== undefined) present.add(source);
      }
      return await use({`,
      },
    ],
    shows: /is next/,
  },
  {
    name: 'tiers-known-missed',
    bug: 'a manifest that came after flushes were learnt beforehand is missed',
    edits: [
      {
        file: 'log/upkeep/known-flushes.ts',
        replace: `      const keys = await this.#keysAt(revision);
      const unknownIds`,
        by: `      const listed = await this.#keysAt(revision);
      const before = new Set([...this.#index.sourceIds].map((id) => id.split('@')[0]));
      const keys = before.size === 0 ? listed : listed.filter(({ key }) => isShelf({ key }) || before.has(key));
      const unknownIds`,
      },
    ],
    shows: /is next|ends at/,
  },
  {
    name: 'tiers-known-untold',
    bug: 'flushes that there is no memory for are left out of a takeover',
    edits: [
      {
        file: 'log/upkeep/known-flushes.ts',
        replace: `          unknown(kv);`,
        by: `          if (kv.value.length < 0) unknown(kv);`,
      },
    ],
    shows: /is next|ends at|given out twice/,
  },
  {
    name: 'tiers-known-again',
    bug: 'what is known is learnt a second time while a takeover rests on it',
    edits: [
      {
        file: 'log/upkeep/known-flushes.ts',
        replace: `    if (this.#index.source(id) !== undefined) return Promise.resolve();\n`,
        by: `    void Promise;\n`,
      },
      {
        file: 'log/upkeep/flush-index.ts',
        replace: `    if (this.#sources.has(id)) throw new Error(\`\${id} is in already\`);`,
        by: `    this.remove(id);`,
      },
    ],
    shows: /is next|ends at|neither known|were forgotten/,
  },
  {
    name: 'tiers-known-packed',
    bug: 'a packed extent continues what one of another epoch said',
    edits: [
      {
        file: 'log/upkeep/packed-extents.ts',
        replace: `  last.leaderEpoch = leaderEpoch;
  last.nextOffset = nextOffset;`,
        by: `  if (isWanted || leaderEpoch === last.leaderEpoch) last.leaderEpoch = leaderEpoch;
  last.nextOffset = nextOffset;`,
      },
    ],
    shows: /leader epoch|is next/,
  },
];

describe('the model of the tiers finds', () => {
  it.each(plants)(
    '$bug',
    async (plant) => {
      const { TiersWorld } = (await importPlanted(plant, 'log/upkeep/tiers-world.model.ts')) as typeof World;
      let found: string | undefined;
      for (let seed = 1; seed <= maxSchedules && found === undefined; seed += 1) {
        const world = new TiersWorld(seed);
        try {
          await world.run(150);
        } catch (error) {
          found = String(error);
        }
        found ??= world.violations[0];
      }
      expect(found).toMatch(plant.shows);
    },
    600_000,
  );
});
