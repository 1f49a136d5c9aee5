/** Writes the custom resource definitions again. Run it with `npm run generate-crds`. */
import { mkdir, writeFile } from 'node:fs/promises';
import { crdFiles } from './crds.ts';

for (const folder of ['crds', 'charts/kafscale/templates/crds']) {
  await mkdir(new URL(`../${folder}/`, import.meta.url), { recursive: true });
}
for (const { path, text } of crdFiles()) {
  await writeFile(new URL(`../${path}`, import.meta.url), text);
  console.log(path);
}
