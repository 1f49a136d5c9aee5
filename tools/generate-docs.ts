/** Writes the reference pages again from the tables they are printed from. Run it with `npm run generate-docs`. */
import { writeFile } from 'node:fs/promises';
import { brokerConfigReference, brokerConfigReferencePath } from './broker-config-reference.ts';
import { format, resolveConfig } from 'prettier';
import { chartReadme, chartReadmePath } from './chart/chart-readme.ts';
import { metricsReference, metricsReferencePath } from './metrics-reference.ts';
import { operatorReference, operatorReferencePath } from './operator-reference.ts';
import { topicConfigReference, topicConfigReferencePath } from './topic-config-reference.ts';

const pages = [
  [chartReadmePath, await format(chartReadme(), { ...(await resolveConfig(chartReadmePath)), parser: 'markdown' })],
  [brokerConfigReferencePath, brokerConfigReference()],
  [metricsReferencePath, metricsReference()],
  [operatorReferencePath, operatorReference()],
  [topicConfigReferencePath, topicConfigReference()],
] as const;

for (const [path, text] of pages) {
  await writeFile(new URL(`../${path}`, import.meta.url), text);
  console.log(path);
}
