import { readFile } from 'node:fs/promises';
import { brokerConfigReference, brokerConfigReferencePath } from './broker-config-reference.ts';

it('prints what the page of broker settings says', async () => {
  const page = await readFile(new URL(`../${brokerConfigReferencePath}`, import.meta.url), 'utf8');
  expect(page).toBe(brokerConfigReference());
});
