/** Where a program is installed. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where Debian puts what only administrators run; not on every user's path. */
const administrators = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Its path, when a folder of `PATH` or of the administrators' has it. */
export function findProgram(name: string): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...administrators,
  ];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}
