import { readFile } from 'node:fs/promises';
import { metricsReference, metricsReferencePath } from './metrics-reference.ts';

it('prints what the page of metrics says', async () => {
  const page = await readFile(new URL(`../${metricsReferencePath}`, import.meta.url), 'utf8');
  expect(page).toBe(metricsReference());
});
