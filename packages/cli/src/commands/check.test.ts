import { jest } from '@jest/globals';
import { startBroker, type RunningBroker } from '@kafscale/broker';
import { brokerConfigSchema } from '@kafscale/protocol';
import { cryptoRandom, freePort, silentLogger, systemClock } from '@kafscale/runtime';
import { Kafka, logLevel } from 'kafkajs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../main.ts';

describe('kafscale check', () => {
  let dataDir: string;
  let broker: RunningBroker;
  let printed = '';
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'kafscale-check-'));
    const config = brokerConfigSchema.parse({
      ...{ kafkaAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', advertisedHost: '127.0.0.1', dataDir },
      ...{ flushIntervalMs: 2, groupInitialRebalanceDelayMs: 0, autoCreateTopics: false },
    });
    broker = await startBroker(config, { clock: systemClock, random: cryptoRandom, logger: silentLogger });
  });
  afterAll(async () => {
    await broker.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  beforeEach(() => {
    printed = '';
    for (const stream of [process.stdout, process.stderr]) {
      jest.spyOn(stream, 'write').mockImplementation((text) => ((printed += String(text)), true));
    }
  });
  afterEach(() => jest.restoreAllMocks());

  const topics = async (): Promise<readonly string[]> => {
    const address = `${broker.host}:${broker.port}`;
    const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      return await admin.listTopics();
    } finally {
      await admin.disconnect();
    }
  };

  it('sends a record, reads it back, and leaves no topic behind', async () => {
    expect(await main(['check', '--bootstrap', `127.0.0.1:${broker.port}`, '--timeout', '50'])).toBe(0);
    expect(printed).toContain('✓ Consuming it');
    expect(printed).toContain('came back');
    expect((await topics()).filter((name) => name.startsWith('kafscale-check'))).toEqual([]);
  });

  it('gives up in time where nobody answers', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket.on('error', () => undefined)));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    expect(await main(['check', '--bootstrap', `127.0.0.1:${port}`, '--timeout', '1'])).toBe(1);
    expect(printed).toContain('took longer than 1 s');
    silent.close();
    for (const socket of sockets) socket.destroy();
  });

  it('says what the client met and what to look at', async () => {
    const nobody = await freePort();
    expect(await main(['check', '--bootstrap', `127.0.0.1:${nobody}`, '--timeout', '1'])).toBe(1);
    expect(printed).toContain('ECONNREFUSED');
    expect(printed).toContain('Is the address right');
  });

  it.each([
    ['an address without a port', ['--bootstrap', 'localhost'], 'That is host:port'],
    ['a time that is none', ['--bootstrap', 'a:1', '--timeout', '0'], 'from 1 to 86400'],
    ['nothing', [], '--bootstrap'],
  ])('refuses %s', async (_, args, said) => {
    expect(await main(['check', ...args])).toBe(2);
    expect(printed).toContain(said);
  });
});
