import { status } from '@grpc/grpc-js';
import type { AssignmentUpdate } from '@kafscale/protocol';
import { systemClock } from '@kafscale/runtime';
import { eventually } from '@kafscale/testkit';
import { ControlClients } from './control-client.ts';
import { StubBroker } from './stub-broker-fixture.ts';

let stub: StubBroker;
let clients: ControlClients;
let token: string;

beforeEach(async () => {
  stub = await StubBroker.start();
  token = 'first';
  clients = new ControlClients({ clock: systemClock, token: () => Promise.resolve(token), callDeadlineMs: 500 });
});
afterEach(() => {
  clients.close();
  stub.close();
});

const everything = { partitions: [], reason: 'scale-down', deadlineSeconds: 30 };

describe('the control client', () => {
  it('gives what the broker says, every field there, and carries the token of the moment', async () => {
    stub.answer = () => ({
      response: { brokerId: 3, partitions: [{ topic: 't', partition: 1, highWatermark: 2 ** 40 }] },
    });
    const client = clients.of(stub.address);
    expect(await client.status()).toMatchObject({
      ...{ brokerId: 3, cordoned: false, incarnation: '', coordinatorShards: [] },
      partitions: [{ topic: 't', partition: 1, leader: 0, state: '', highWatermark: 2 ** 40 }],
    });
    token = 'second';
    await client.setCordon({ cordoned: true, reason: 'test' });
    expect(stub.calls.map(({ metadata }) => metadata.get('authorization'))).toEqual([
      ['Bearer first'],
      ['Bearer second'],
    ]);
    expect(stub.calls[1]!.request).toEqual({ cordoned: true, reason: 'test' });
  });

  it.each([
    [status.UNAUTHENTICATED, 'refused'],
    [status.UNAVAILABLE, 'unreachable'],
    [status.DEADLINE_EXCEEDED, 'unreachable'],
    [status.RESOURCE_EXHAUSTED, 'exhausted'],
    [status.FAILED_PRECONDITION, 'not-possible'],
    [status.INTERNAL, 'failed'],
  ])('says of status %s that the call is %s', async (code, kind) => {
    stub.answer = () => ({ code });
    await expect(clients.of(stub.address).status()).rejects.toMatchObject({ name: 'ControlCallError', kind });
  });

  it('gives up a broker that does not answer, and one that is not there', async () => {
    stub.answer = () => 'hang';
    await expect(clients.of(stub.address).status()).rejects.toMatchObject({ kind: 'unreachable' });
    await eventually('the broker hears of it', () => stub.cancelled === 1);
    await expect(clients.of('127.0.0.1:1').status()).rejects.toMatchObject({ kind: 'unreachable' });
  });

  it('waits for a drain as long as that may take', async () => {
    stub.answer = () => 'hang';
    const draining = clients.of(stub.address).drain(everything);
    await expect(clients.of(stub.address).status()).rejects.toMatchObject({ kind: 'unreachable' });
    stub.close();
    await expect(draining).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(clients.of(stub.address).drain({ ...everything, deadlineSeconds: 0 })).rejects.toThrow('deadline');
  });

  it('has one channel per broker, and ends its calls when the broker is gone', async () => {
    stub.answer = () => 'hang';
    const client = clients.of(stub.address);
    expect(clients.of(stub.address)).toBe(client);
    const draining = client.drain(everything);
    draining.catch(() => undefined);
    await eventually('the call has arrived', () => stub.calls.length === 1);
    clients.retain(new Set(['10.0.0.9:9094']));
    await expect(draining).rejects.toMatchObject({ kind: 'unreachable' });
    expect(clients.addresses).toEqual([]);
    await expect(client.status()).rejects.toMatchObject({ kind: 'unreachable' });
    expect(clients.of(stub.address)).not.toBe(client);
  });

  it('watches until it is told to stop, or the broker stops', async () => {
    const update = { partition: { topic: 't', partition: 0 }, brokerId: 1, status: 'owned', epoch: 4 };
    stub.onWatch = (stream) => {
      stream.write(update);
      stream.write({ ...update, epoch: 5 });
    };
    const seen: AssignmentUpdate[] = [];
    const over = new AbortController();
    for await (const next of clients.of(stub.address).watchAssignments({ brokerId: 0, signal: over.signal })) {
      seen.push(next);
      if (seen.length === 2) over.abort();
    }
    expect(seen).toEqual([update, { ...update, epoch: 5 }]);
    // An id of 0 is an id.
    expect(stub.calls[0]!.request).toMatchObject({ brokerId: 0 });
    await eventually('the broker hears of it', () => stub.cancelled === 1);

    stub.onWatch = (stream) => stream.end();
    const again = clients.of(stub.address).watchAssignments({ signal: new AbortController().signal });
    await expect(again.next()).rejects.toMatchObject({ kind: 'unreachable' });
    expect(stub.calls[1]!.request).not.toHaveProperty('brokerId');
  });
});
