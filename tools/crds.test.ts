import { repositoryFolder } from '@kafscale/testkit';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crdFiles } from './crds.ts';

test.each(crdFiles())('$path is what the schemas say (npm run generate-crds)', async ({ path, text }) => {
  expect(await readFile(join(repositoryFolder(), path), 'utf8')).toBe(text);
});
