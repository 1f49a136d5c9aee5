/** Servers that come as Go modules: built once per set of versions, without the race detector, into the cache folder. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { preparedFolder } from './cache-folder.ts';
import { runProgram } from './run-program.ts';

const buildMinutes = 60;
/** From here on somebody who waits is told why. */
const silentMs = 2_000;
const reminderMs = 60_000;

export interface GoPrograms {
  readonly name: string;
  /** Versions by module path; modules of one family take each other's from here. */
  readonly modules: Readonly<Record<string, string>>;
  /** Main packages by the name of the program that each becomes; `.` is the one in `sources`. */
  readonly programs: Readonly<Record<string, string>>;
  /** Files of a main package of our own, which takes a part of the modules, by name. */
  readonly sources?: Readonly<Record<string, string>>;
  /** Modules that the built one names without a version of theirs, as a tree of many modules does, and the version to take. */
  readonly replacements?: Readonly<Record<string, string>>;
  /** String variables to set in the programs, by package path and name: the versions that they report. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Told what takes long; on standard error unless somebody else shows it. */
export type Announce = (text: string) => void;

const onStandardError: Announce = (text) => void process.stderr.write(`${text}\n`);

/**
 * The folder that holds the programs. They are built as dependencies of a module made for it, since `go install` refuses a module
 * whose own go.mod replaces others.
 */
export async function goPrograms(settings: GoPrograms, announce = onStandardError): Promise<string> {
  const { name, modules, programs, sources = {}, variables = {} } = settings;
  const goMod = moduleFile(settings);
  const linkerFlags = ['-s', '-w', ...Object.entries(variables).map(([path, value]) => `-X=${path}=${value}`)];
  const recipe = [goMod, JSON.stringify(programs), ...linkerFlags.slice(2), ...Object.values(sources)].join('');
  return preparedFolder(name, recipe, async (folder) => {
    await writeFile(join(folder, 'go.mod'), goMod);
    for (const [file, source] of Object.entries(sources)) await writeFile(join(folder, file), source);
    const finished = announceLongWork(`building ${name} ${Object.values(modules)[0]!} from its Go module`, announce);
    try {
      for (const [program, mainPackage] of Object.entries(programs)) {
        const args = ['build', '-mod=mod', '-p=2', '-buildvcs=false', '-trimpath', `-ldflags=${linkerFlags.join(' ')}`];
        // Others measure and wait for answers beside it.
        await runProgram('nice', ['-n', '15', 'go', ...args, '-o', program, mainPackage], {
          cwd: folder,
          env: { CGO_ENABLED: '0', GOFLAGS: '' },
          timeoutMs: buildMinutes * 60_000,
        });
      }
    } finally {
      finished();
    }
  });
}

function moduleFile({ name, modules, replacements = {} }: GoPrograms): string {
  const requirements = Object.entries(modules).map(([path, version]) => `\t${path} ${version}\n`);
  const required = `module kafscale.test/${name}\n\ngo 1.24\n\nrequire (\n${requirements.join('')})\n`;
  const replaced = Object.entries(replacements).map(([path, version]) => `\t${path} => ${path} ${version}\n`);
  return replaced.length === 0 ? required : `${required}\nreplace (\n${replaced.join('')})\n`;
}

function announceLongWork(what: string, say: Announce): () => void {
  const startedMs = performance.now();
  const first = setTimeout(() => say(`${what}; this happens once and takes minutes`), silentMs);
  const reminder = setInterval(() => {
    say(`${what}: ${Math.round((performance.now() - startedMs) / 1_000)} s so far`);
  }, reminderMs);
  return () => {
    clearTimeout(first);
    clearInterval(reminder);
  };
}
