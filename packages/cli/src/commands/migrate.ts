/** `kafscale migrate`: manifests of KafScale (Go) in, manifests for this operator out; whatever else is in the files stays as it is. */
import { migrateManifest, type MigratedManifest } from '@kafscale/operator';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { parseAllDocuments, stringify, type Document } from 'yaml';
import { CommandError, print, printError } from '../output.ts';

export interface MigrateOptions {
  /** Files to read, `-` for standard input. */
  readonly files: readonly string[];
}

/** Throws CommandError when a file cannot be read or is no YAML, and when something is left to be changed by hand. */
export async function migrate({ files }: MigrateOptions): Promise<void> {
  const documents: string[] = [];
  let faulty = 0;
  for (const file of files) {
    for (const document of documentsOf(file, await contentOf(file))) {
      const { printed, faults } = migrateDocument(file, document);
      documents.push(printed);
      faulty += faults;
    }
  }
  print(documents.map((document) => document.trimEnd()).join('\n---\n'));
  if (faulty > 0) throw new CommandError(`${faulty} things have to be changed by hand; they are named above.`);
}

interface Migrated {
  readonly printed: string;
  readonly faults: number;
}

function migrateDocument(file: string, document: Document): Migrated {
  const manifest: unknown = document.toJS();
  if (!isManifest(manifest)) return { printed: document.toString(), faults: 0 };
  // What `kubectl get -o yaml` prints.
  const isList = manifest['kind'] === 'List' && Array.isArray(manifest['items']);
  const items = isList ? (manifest['items'] as unknown[]).filter(isManifest) : [manifest];
  const migrated = items.map((item) => migrateManifest(item));
  if (migrated.every((one) => one === undefined)) return { printed: document.toString(), faults: 0 };
  const manifests = migrated.map((one, index) => one?.manifest ?? items[index]!);
  const faults = migrated.reduce((sum, one) => sum + (one === undefined ? 0 : report(file, one)), 0);
  return { printed: stringify(isList ? { ...manifest, items: manifests } : manifests[0]), faults };
}

/** Answers how much is left to be changed by hand. */
function report(file: string, { manifest, notes, faults }: MigratedManifest): number {
  const { kind, metadata } = manifest as { kind: string; metadata?: { name?: string } };
  const what = `${file}: ${kind} ${metadata?.name ?? '(no name)'}`;
  for (const note of notes) printError(`${what}: ${note}`);
  for (const fault of faults) printError(`${what}: change by hand: ${fault}`);
  return faults.length;
}

const isManifest = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function contentOf(file: string): Promise<string> {
  if (file === '-') return text(process.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

function documentsOf(file: string, content: string): readonly Document[] {
  const documents = parseAllDocuments(content);
  const all = Array.isArray(documents) ? (documents as Document[]) : [];
  const error = all.flatMap(({ errors }) => errors)[0];
  if (error !== undefined) throw new CommandError(`${file} is no YAML: ${error.message}`);
  return all.filter(({ contents }) => contents !== null);
}
