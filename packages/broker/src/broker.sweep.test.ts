/** Every API the broker advertises, at every version of it: an answer comes back and decodes, whatever valid request is sent. */
import { jest } from '@jest/globals';
import { apis, apiVersions, type Api, type Codec } from '@kafscale/protocol';
import { ConnectionClosed, messageOf, RawClient } from '@kafscale/testkit';
import fc from 'fast-check';
import type { RunningBroker } from './broker.ts';
import { batch, batchesOf, BrokerFixture, createTopic, fetchFrom, keepingLogger, produceTo } from './broker-fixture.ts';

jest.setTimeout(60_000);

interface ServedVersion {
  readonly api: Api<unknown, unknown>;
  readonly version: number;
}

type Fields = Record<string, unknown>;

const requestTimeoutMs = 8_000;
const lastClosedProduceVersion = 2;
const isClosedByDesign = ({ api, version }: ServedVersion) =>
  api.name === 'Produce' && version <= lastClosedProduceVersion;

describe('Broker, at every advertised version', () => {
  const fixture = new BrokerFixture();
  let broker: RunningBroker;
  let served: ServedVersion[];
  let topicId: string;
  const { logger, lines: errors } = keepingLogger('error');

  beforeAll(async () => {
    broker = await fixture.start({
      config: { maxFetchSessions: 10, maxPartitionsPerTopic: 20, groupMinSessionTimeoutMs: 1 },
      logger,
    });
    const client = await fixture.connect(broker);
    topicId = await createTopic(client, 'known', 2);
    const { apiKeys } = await client.request(apiVersions, 4, { clientSoftwareName: 'raw', clientSoftwareVersion: '1' });
    served = apiKeys.flatMap(({ apiKey, minVersion, maxVersion }) => {
      const api = apis.find(({ key }) => key === apiKey)!;
      return Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => ({ api, version: minVersion + index }));
    });
  });

  afterAll(() => fixture.closeAll());

  const outcomeOf = async ({ api, version }: ServedVersion, request: unknown): Promise<string> => {
    const client = await RawClient.connect({ port: broker.port, timeoutMs: requestTimeoutMs });
    try {
      await client.request(api, version, request);
      return 'answered';
    } catch (error) {
      return error instanceof ConnectionClosed ? 'closed' : String(error);
    } finally {
      await client.close();
    }
  };

  const expectHonestClientServed = async (): Promise<void> => {
    const client = await fixture.connect(broker);
    const { errorCode, baseOffset } = await produceTo(client, 'honest', 0, batch(['still here']));
    expect(errorCode).toBe(0);
    const fetched = await fetchFrom(client, 'honest', 0, { offset: baseOffset });
    expect(batchesOf(fetched).map((found) => found.baseOffset)).toEqual([baseOffset]);
    await client.close();
  };

  it('answers a request with nothing in it', async () => {
    const faults: string[] = [];
    for (const each of served) {
      const { api, version } = each;
      const [request] = fc.sample(messageOf(api.request, version), { seed: 1, numRuns: 1 });
      const outcome = await outcomeOf(each, emptied(request));
      if (outcome !== (isClosedByDesign(each) ? 'closed' : 'answered'))
        faults.push(`${api.name} v${version}: ${outcome}`);
    }
    expect({ faults, errors }).toEqual({ faults: [], errors: [] });
  });

  it('answers random valid requests, also those that meet topics and groups, and goes on serving', async () => {
    const client = await fixture.connect(broker);
    await createTopic(client, 'honest');
    const faults: string[] = [];
    const known: Known = { topicId, records: batch(['a', 'b']) };
    const perVersion = 12;
    const plan = served
      .filter((each) => !isClosedByDesign(each))
      .flatMap((each) => {
        const requests = fc.sample(messageOf(each.api.request as Codec<Fields>, each.version), {
          seed: each.api.key * 100 + each.version,
          numRuns: perVersion,
        });
        return requests.map((request, index) => ({ each, request: pointed(request, '', known, index) }));
      });
    const workers = Array.from({ length: 16 }, async () => {
      for (let next = plan.pop(); next !== undefined; next = plan.pop()) {
        const { each, request } = next;
        const outcome = await outcomeOf(each, request);
        if (outcome !== 'answered') faults.push(`${each.api.name} v${each.version}: ${outcome} to ${shown(request)}`);
      }
    });
    await Promise.all(workers);
    expect({ faults, errors }).toEqual({ faults: [], errors: [] });
    await expectHonestClientServed();
  });
});

/** The request with nothing in it: empty lists and strings, zeros; one that asks for no acknowledgement would get no answer. */
function emptied(value: unknown, name = ''): unknown {
  if (name === 'acks') return 1;
  if (Array.isArray(value)) return [];
  if (Buffer.isBuffer(value)) return Buffer.alloc(0);
  if (typeof value === 'bigint') return 0n;
  if (typeof value === 'number') return 0;
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, emptied(field, key)]));
  }
  return value;
}

interface Known {
  readonly topicId: string;
  readonly records: Buffer;
}

/**
 * A random request as drawn, or in two of three with names, ids and numbers put in its way that mean something here. Waits are
 * short in all.
 */
function pointed(value: unknown, name: string, known: Known, round: number): unknown {
  if (name === 'acks') return round % 2 === 0 ? 1 : -1;
  if (/(?:timeout|wait)Ms$/i.test(name)) return name === 'sessionTimeoutMs' ? 30 : 20;
  if (Array.isArray(value)) return value.map((element) => pointed(element, name, known, round));
  if (Buffer.isBuffer(value)) return name === 'records' && round % 3 > 0 ? Buffer.from(known.records) : value;
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, pointed(field, key, known, round)]));
  }
  if (round % 3 === 0) return value;
  if (typeof value === 'string') {
    if (/^(?:name|topic|topics|topicNames)$/.test(name)) return round % 3 === 1 ? 'known' : value;
    if (name === 'topicId' && value !== 'AAAAAAAAAAAAAAAAAAAAAA') return known.topicId;
    if (/group/i.test(name)) return `group-${round}`;
    return value;
  }
  if (typeof value === 'number') {
    if (/^partition(?:Index|Indexes|s)?$|^index$/.test(name)) return Math.abs(value) % 3;
    if (/offset/i.test(name)) return round % 2 === 0 ? 0 : value;
    if (/epoch|generation/i.test(name)) return round % 2 === 0 ? -1 : 0;
  }
  return value;
}

const shown = (request: unknown): string =>
  JSON.stringify(request, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value)).slice(0, 500);
