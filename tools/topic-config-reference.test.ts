import { readFile } from 'node:fs/promises';
import { topicConfigReference, topicConfigReferencePath } from './topic-config-reference.ts';

it('prints what the page of topic settings says', async () => {
  const page = await readFile(new URL(`../${topicConfigReferencePath}`, import.meta.url), 'utf8');
  expect(page).toBe(topicConfigReference());
});
