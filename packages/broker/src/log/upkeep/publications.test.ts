import { ObjectNames } from '../../storage/object-names.ts';
import { Publications } from './publications.ts';

function setUp() {
  const floors: number[] = [];
  const names = new ObjectNames('kafscale');
  let uniques = 0;
  const publications = new Publications({
    names,
    lane: { raiseFloor: (sequence) => floors.push(sequence) },
    incarnation: 'i',
    unique: () => `u${(uniques += 1)}`,
  });
  return { publications, floors, names };
}

describe('Publications', () => {
  it('holds the floor below the oldest publication that is open, in whatever order they settle', () => {
    const { publications, floors } = setUp();
    const [first, second, third] = [publications.begin(), publications.begin(), publications.begin()];
    expect([first.nextSequence(), second.nextSequence(), first.nextSequence(), third.nextSequence()]).toEqual([
      0, 1, 2, 3,
    ]);
    second.settle();
    expect(floors).toEqual([0]);
    first.settle();
    expect(floors).toEqual([0, 3]);
    third.settle();
    expect(floors).toEqual([0, 3, 4]);
  });

  it('is not held down by a publication that has named nothing yet', () => {
    const { publications } = setUp();
    const idle = publications.begin();
    const other = publications.begin();
    other.nextSequence();
    other.settle();
    expect(publications.floor).toBe(1);
    expect(idle.nextSequence()).toBe(1);
    expect(publications.floor).toBe(1);
  });

  it('gives each attempt at an object a name of its own, under the same sequence', () => {
    const { publications, names } = setUp();
    const publication = publications.begin();
    const sequence = publication.nextSequence();
    const [first, again] = [publication.nameFlat('shelf', sequence), publication.nameFlat('shelf', sequence)];
    expect(first).not.toBe(again);
    expect(names.parse(again)).toMatchObject({ kind: 'shelf', incarnation: 'i', sequence });
    const place = { topicName: 'orders', partition: 3, baseOffset: 7 };
    const { segment, index } = publication.nameSegment(place, sequence);
    expect(names.parse(segment)).toMatchObject({ kind: 'segment', sequence, ...place });
    expect(names.parse(index)).toMatchObject({ kind: 'segment-index', sequence, ...place });
  });
});
