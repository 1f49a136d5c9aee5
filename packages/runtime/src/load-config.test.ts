import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, loadConfig } from './load-config.ts';

const schema = z.object({
  port: z.coerce.number().int().max(65_535).default(9092).meta({ env: 'APP_PORT' }),
  password: z.string().optional().meta({ env: 'APP_PASSWORD' }),
  cacheBytes: z.coerce
    .number()
    .min(1)
    .default(1)
    .meta({ env: ['APP_CACHE_BYTES', 'APP_CACHE_SIZE'] }),
});

function faultsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(schema, { env });
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'load-config-'))));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('takes values from the environment, defaults where it says nothing or is empty', () => {
    expect(loadConfig(schema, { env: { APP_PORT: '1234', APP_PASSWORD: '' } }).config).toEqual({
      port: 1234,
      cacheBytes: 1,
    });
  });

  it('accepts an older name, and prefers the current one', () => {
    expect(loadConfig(schema, { env: { APP_CACHE_SIZE: '7' } }).config.cacheBytes).toBe(7);
    expect(loadConfig(schema, { env: { APP_CACHE_SIZE: '7', APP_CACHE_BYTES: '8' } }).config.cacheBytes).toBe(8);
  });

  it('lets overrides win over the environment', () => {
    expect(loadConfig(schema, { env: { APP_PORT: '1' }, overrides: { port: 2 } }).config.port).toBe(2);
  });

  it('takes defaults of the caller only where the environment says nothing', () => {
    const defaults = { port: 5, cacheBytes: 6 };
    expect(loadConfig(schema, { env: { APP_PORT: '1' }, defaults }).config).toEqual({ port: 1, cacheBytes: 6 });
  });

  it('reads a value from the file that NAME_FILE points to, without its last line break', () => {
    const file = join(folder, 'password');
    writeFileSync(file, 'se cret\n');
    expect(loadConfig(schema, { env: { APP_PASSWORD_FILE: file } }).config.password).toBe('se cret');
  });

  it('lists every fault at once, each under its variable', () => {
    expect(
      faultsOf({
        APP_PORT: '70000',
        APP_CACHE_SIZE: '0',
        APP_PASSWORD: 'x',
        APP_PASSWORD_FILE: join(folder, 'password'),
      }),
    ).toEqual([
      'APP_PASSWORD: set both directly and as APP_PASSWORD_FILE; remove one',
      expect.stringMatching(/^APP_PORT: /),
      expect.stringMatching(/^APP_CACHE_SIZE: /),
    ]);
  });

  it('names the file that cannot be read', () => {
    expect(faultsOf({ APP_PASSWORD_FILE: join(folder, 'missing') })).toEqual([
      `APP_PASSWORD_FILE: cannot read ${join(folder, 'missing')} (ENOENT)`,
    ]);
  });

  it('returns variables of the prefix that no field knows', () => {
    const env = { APP_PROT: '1', APP_PORT: '2', APP_PORT_FILE: '', OTHER: '3' };
    expect(loadConfig(schema, { env, prefix: 'APP_' }).unknownNames).toEqual(['APP_PROT']);
  });
});
