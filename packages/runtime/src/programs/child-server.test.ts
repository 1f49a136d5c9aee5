import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChildServer } from './child-server.ts';

describe('a child server', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kafscale-child-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const start = (program: string): Promise<ChildServer> =>
    ChildServer.start({
      name: 'the server',
      program: process.execPath,
      args: ['-e', program],
      logFile: join(folder, 'log'),
      ready: /ready on (\d+)/,
    });

  it('is ready when it says so, and hands on what it said', async () => {
    const server = await start("console.log('ready on 42'); setInterval(() => {}, 1000)");
    expect(server.readyMatch[1]).toBe('42');
    expect(server.running).toBe(true);
    await server.kill();
    expect(server.running).toBe(false);
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('ready on 42\n');
  });

  it('tells with its own words why it did not start', async () => {
    await expect(start("console.error('no such disk'); process.exit(3)")).rejects.toThrow(
      /the server ended with 3 before it was ready\nno such disk/,
    );
  });

  it('ends in its own time when it is stopped, also after a pause', async () => {
    const server = await start(
      "process.on('SIGTERM', () => { console.log('bye'); process.exit(0) }); console.log('ready on 1'); setInterval(() => {}, 1000)",
    );
    server.pause();
    server.resume();
    await server.stop();
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('ready on 1\nbye\n');
  });
});
