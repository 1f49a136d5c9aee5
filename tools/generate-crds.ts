/** Writes the custom resource definitions again. Run it with `npm run generate-crds`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { crdFiles } from './crds.ts';

await mkdir(new URL('../crds/', import.meta.url), { recursive: true });
for (const { path, text } of crdFiles()) {
  await writeFile(new URL(`../${path}`, import.meta.url), text);
  console.log(path);
}
