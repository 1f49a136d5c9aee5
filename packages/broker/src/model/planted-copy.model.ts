/** Copies what the model is made of into a scratch folder, with one bug planted, and plays schedules on the copy. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Edit, Plant } from './plants.model.ts';
import type { ScheduleResult } from './world.model.ts';

const sourceFolder = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const scratchFolder = resolve(sourceFolder, '..', '.planted');
const entry = 'model/world.model.ts';
const relativeImport = /from '(\.{1,2}\/[^']+)'/g;

type RunSchedule = (seed: number) => Promise<ScheduleResult>;

export async function loadPlanted(plant: Plant): Promise<RunSchedule> {
  const { runSchedule } = (await importPlanted(plant, entry)) as { readonly runSchedule: RunSchedule };
  return runSchedule;
}

/** The module `first` (relative to the broker's `src`) of a copy of it and all it imports, with these edits. */
export async function importPlanted({ name, edits }: Pick<Plant, 'name' | 'edits'>, first: string): Promise<unknown> {
  const files = await readWithImports(first);
  for (const edit of edits) files.set(edit.file, apply(edit, files.get(edit.file)));
  const folder = join(scratchFolder, name);
  await rm(folder, { recursive: true, force: true });
  for (const [file, text] of files) {
    const path = join(folder, file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return (await import(join(folder, first))) as unknown;
}

function apply({ file, replace, by }: Edit, text: string | undefined): string {
  if (text === undefined) throw new Error(`the model does not use ${file}, where a bug is to be planted`);
  const occurrences = text.split(replace).length - 1;
  if (occurrences !== 1) throw new Error(`${file} has this ${occurrences} times, not once:\n${replace}`);
  return text.replace(replace, () => by);
}

/** The file and everything of the broker that it imports, by path under `src`. */
async function readWithImports(first: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const open = [first];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (files.has(file)) continue;
    const path = join(sourceFolder, file);
    const text = await readFile(path, 'utf8');
    files.set(file, text);
    for (const [, target] of text.matchAll(relativeImport)) {
      open.push(relative(sourceFolder, resolve(dirname(path), target!)));
    }
  }
  return files;
}
