import { existsSync, readFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const pathOf = (named: string): string => (named.startsWith('e2e/') ? named : `packages/broker/src/${named}`);

const page = read('docs/internals/commit-protocol-tests.md');
/** As a title stands in the source: with the quotes that are in it, or with a backslash before them. */
const holds = (source: string, title: string): boolean => source.replaceAll('\\', '').includes(title);

describe('the page of the tests of the commit protocol', () => {
  const groups = [...page.matchAll(/`([^`\s]+\.ts)` › ((?:“[^”]+”(?:, )?)+)/g)];

  it.each(groups.map(([, file, titles]) => [file!, titles!] as const))('names what is in %s', (file, titles) => {
    expect(existsSync(new URL(pathOf(file), root))).toBe(true);
    const source = read(pathOf(file));
    const missing = [...titles.matchAll(/“([^”]+)”/g)]
      .map(([, title]) => title!)
      .filter((title) => !holds(source, title));
    expect(missing).toEqual([]);
  });

  it('names plants that models make', () => {
    const models = ['model/plants.model.ts', 'log/upkeep/tiers.plants.test.ts']
      .map((file) => read(pathOf(file)))
      .join();
    const named = [...page.matchAll(/plants? ((?:`[a-z0-9-]+`(?:, )?)+)/g)].flatMap(([, names]) =>
      [...names!.matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name!),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((name) => !models.includes(`name: '${name}'`))).toEqual([]);
  });

  it('has a test or a command for everything that was asked for', () => {
    const rows = page.split('\n').filter((line) => /^\| (?!asked for|-)/.test(line));
    expect(rows.length).toBeGreaterThanOrEqual(16);
    for (const row of rows) expect(row.split(' | ')[1]).toMatch(/ › “|`make soak /);
  });
});
