import { readFile } from 'node:fs/promises';
import { operatorReference, operatorReferencePath } from './operator-reference.ts';

it('prints what the page of the operator says', async () => {
  const page = await readFile(new URL(`../${operatorReferencePath}`, import.meta.url), 'utf8');
  expect(page).toBe(operatorReference());
});
