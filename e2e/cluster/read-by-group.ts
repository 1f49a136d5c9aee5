/** What a consumer group has read, from the files of its members. */
import { readFile } from 'node:fs/promises';
import type { Acknowledged } from '../corpus/writers.ts';

/** Acknowledged records that no member has read at the place that was reported, described. */
export async function unreadRecords(
  acknowledged: readonly Acknowledged[],
  files: readonly string[],
): Promise<string[]> {
  const values = new Map<string, string>();
  for (const file of files) {
    for (const line of (await readFile(file, 'utf8')).split('\n')) {
      const [partition = '', offset = '', ...value] = line.split('\t');
      values.set(`${partition.replace('Partition:', '')}/${offset.replace('Offset:', '')}`, value.join('\t'));
    }
  }
  return acknowledged.flatMap(({ partition, offset, value }) => {
    const read = values.get(`${partition}/${offset}`);
    return read === value ? [] : [`${partition}/${offset}: ${value} was acknowledged, read was ${read ?? 'nothing'}`];
  });
}
