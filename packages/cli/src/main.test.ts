import { jest } from '@jest/globals';
import { main } from './main.ts';

describe('the command line', () => {
  let out = '';
  let errors = '';
  beforeEach(() => {
    out = '';
    errors = '';
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => ((errors += String(text)), true));
  });
  afterEach(() => jest.restoreAllMocks());

  it('teaches the first steps', async () => {
    expect(await main(['--help'])).toBe(0);
    expect(out).toMatch(/kafscale demo +see it work/);
    expect(out).toMatch(/kafscale dev +start it/);
  });

  it('says what an option takes and which default it has', async () => {
    expect(await main(['dev', '--help'])).toBe(0);
    expect(out).toMatch(/--port <number>[^-]*9092/);
  });

  it('refuses a port that is none', async () => {
    expect(await main(['dev', '--port', '70000'])).toBe(2);
    expect(errors).toContain('A port is a number from 0 to 65535.');
  });

  it('teaches how to try a cluster and how to run a broker of one', async () => {
    expect(await main(['cluster', '--help'])).toBe(0);
    expect(out).toMatch(/--brokers <number>[^-]*3/);
    expect(await main(['broker', '--help'])).toBe(0);
    expect(out).toContain('KAFSCALE_ETCD_ENDPOINTS');
  });

  it.each([['0'], ['51'], ['many']])('refuses %s brokers', async (brokers) => {
    expect(await main(['cluster', '--brokers', brokers])).toBe(2);
    expect(errors).toContain('a number from 1 to 50');
  });

  it('suggests the command that was meant', async () => {
    expect(await main(['deev'])).toBe(2);
    expect(errors).toContain('Did you mean dev?');
  });
});
