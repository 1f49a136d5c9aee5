import { CommandError } from '../output.ts';
import { planText } from './rebuild.ts';
import { parseTime } from './restore.ts';
import { reportText } from './verify.ts';

describe('kafscale restore', () => {
  it('takes times as RFC 3339 has them, with their offset', () => {
    expect(parseTime('2026-02-03T04:05:06Z')).toBe(Date.UTC(2026, 1, 3, 4, 5, 6));
    expect(parseTime('2026-02-03T05:05:06.789+01:00')).toBe(Date.UTC(2026, 1, 3, 4, 5, 6, 789));
  });

  it.each(['2026-02-03', '2026-02-03T04:05:06', 'yesterday', '1700000000000', '2026-13-03T04:05:06Z', ''])(
    'refuses %j, which says no moment',
    (text) => {
      expect(() => parseTime(text)).toThrow(CommandError);
    },
  );
});

describe('kafscale verify', () => {
  const report = {
    revision: 7,
    topics: 1,
    partitions: 2,
    extents: 3,
    segments: 4,
    batches: 5,
    records: 6,
    bytesRead: 2 ** 20,
    objects: { referenced: 7, cluster: 2, open: 0, garbage: 1, unknown: 0 },
    garbageExamples: ['default/flush/00/a'],
    findings: [],
    findingCount: 0,
  };

  it('says that everything is whole', () => {
    expect(reportText(report)).toContain('Everything is there and whole.');
    expect(reportText(report)).toContain('garbage  default/flush/00/a');
  });

  it('names the object and the partition of a finding', () => {
    const finding = { kind: 'damaged', object: 'default/flush/00/b', topic: 't', partition: 1, detail: 'why' } as const;
    const text = reportText({ ...report, findings: [finding], findingCount: 1 });
    expect(text).toContain('✗ damaged  t-1  default/flush/00/b\n    why');
    expect(text).not.toContain('Everything is there');
  });
});

describe('kafscale rebuild', () => {
  const summary = {
    topics: 1,
    partitions: 2,
    flushesAdded: 3,
    flushesUnnamed: 1,
    flushesDropped: 0,
    topicsWithoutSettings: ['lost'],
    topicsReplaced: [],
    groups: 4,
    nextProducerId: 5n,
    warnings: ['something odd'],
    faults: ['t-0: a gap'],
    lost: ['default/shelf/x cannot be read'],
  };
  const plan = { clusterId: 'c', generation: 2, newestMs: 0, entries: () => nothing(), summary };

  it('prints how old the checkpoint is, and what is lost with it', () => {
    const text = planText({ ...plan, checkpoint: { createdMs: 0, revision: 1 } }, 300_000);
    expect(text).toContain('checkpoint   5 min old (1970-01-01T00:00:00.000Z)');
    for (const part of ['generation 2', 'lost', 'something odd', 't-0: a gap', 'shelf/x cannot be read'])
      expect(text).toContain(part);
  });

  it('says what no checkpoint means', () => {
    expect(planText({ ...plan, checkpoint: undefined }, 0)).toContain(
      'settings of topics, groups and their offsets are lost',
    );
  });
});

async function* nothing(): AsyncGenerator<never, void, undefined> {
  // No entries.
}
