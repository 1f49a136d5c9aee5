/**
 * Requests that are well-formed on the wire and wrong in meaning, and the exact answer to each, against a whole broker. What is
 * wrong with one partition, topic or group must not touch the others of the same request.
 */
import { fetch, produce } from '@kafscale/protocol';
import { RawClient } from '@kafscale/testkit';
import { batch, createTopic, fetchRequest, produceRequest, produceTo } from '../broker-fixture.ts';
import { fetchRows } from './fetch-rows.contract.ts';
import { groupRows } from './group-rows.contract.ts';
import { HonestClient } from './honest-client.contract.ts';
import { otherRows } from './other-rows.contract.ts';
import { produceRows } from './produce-rows.contract.ts';
import { topicRows } from './topic-rows.contract.ts';
import { known, changed } from './row.contract.ts';

/** Runs every row against the broker on a port, while an honest client produces to and reads from a topic of its own. */
export function describeBadRequests(start: () => Promise<{ readonly port: number }>): void {
  describe('bad requests', () => {
    let port: number;
    let client: RawClient;
    let honest: HonestClient;

    beforeAll(async () => {
      ({ port } = await start());
      client = await RawClient.connect({ port, timeoutMs: 30_000 });
      await createTopic(client, known, 3);
      await produceTo(client, known, 0, batch(['first']));
      honest = await HonestClient.start(port);
    });
    afterAll(async () => {
      await honest.close();
      await client.close();
    });
    afterEach(() => honest.check());

    describe.each([
      ['Produce', produceRows],
      ['Fetch', fetchRows],
      ['topics', topicRows],
      ['groups', groupRows],
      ['other requests', otherRows],
    ])('%s', (_heading, rows) => {
      it.each(rows)('answers %s', async (_name, ask, answer) => {
        expect(await ask(client)).toEqual(answer);
      });
    });

    const closing: readonly (readonly [name: string, send: (careless: RawClient) => void])[] = [
      [
        'acks=0 with a wrong CRC',
        (careless) => {
          const records = changed(batch(['a']), 17, 1, 2, 3, 4);
          careless.send(produce, 9, produceRequest(known, 0, records, { acks: 0 }));
        },
      ],
      [
        'acks=0 to a partition that does not exist',
        (careless) => careless.send(produce, 9, produceRequest(known, 99, batch(['a']), { acks: 0 })),
      ],
      ...[0, 1, 2].map(
        (version) =>
          [
            `Produce version ${version}, which is advertised and not served`,
            (careless: RawClient) => careless.send(produce, version, produceRequest(known, 0, batch(['a']))),
          ] as const,
      ),
      [
        'Fetch version 3, which is not advertised',
        (careless) => careless.send(fetch, 3, fetchRequest(known, 0, { offset: 0 })),
      ],
    ];

    it.each(closing)('closes the connection on %s', async (_name, send) => {
      const careless = await RawClient.connect({ port });
      send(careless);
      await expect(careless.nextFrame()).rejects.toThrow('connection closed');
    });
  });
}
