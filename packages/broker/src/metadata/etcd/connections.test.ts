import { seededRandom } from '@kafscale/runtime';
import { FakeClock, settled } from '@kafscale/testkit';
import { credentials } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';
import type { EtcdConnection } from './connection.ts';
import { EtcdConnections } from './connections.ts';
import type { Failure } from './failure.ts';

interface Probe {
  readonly connection: EtcdConnection;
  readonly signal: AbortSignal;
  readonly answer: () => void;
  readonly refuse: (error: MetadataError) => void;
}

const down = () => new MetadataError('unavailable', 'nobody listens there');

/** Connections that never leave the process: who answers a probe, and when, is the test's decision. */
function setUp(endpoints: readonly string[]) {
  const clock = new FakeClock();
  const probes: Probe[] = [];
  const connections = new EtcdConnections({
    endpoints,
    credentials: () => credentials.createInsecure(),
    clock,
    random: seededRandom(1),
    suspectAfterMs: 1_000,
    probe: (connection, _, signal) =>
      new Promise((answer, refuse) => {
        probes.push({ connection, signal, answer, refuse });
      }),
  });
  const current = (deadlineMs = 5_000) => connections.current(clock.monotonicMs() + deadlineMs, undefined);
  /** Something that waits on the connection for longer than it should. */
  const wait = (connection: EtcdConnection, waitMs = 60_000) => {
    const failures: Failure[] = [];
    const waiting = {
      sinceMs: clock.monotonicMs(),
      giveUpMs: clock.monotonicMs() + waitMs,
      fail: (failure: Failure) => {
        connection.waiting.delete(waiting);
        failures.push(failure);
      },
    };
    connection.waiting.add(waiting);
    connections.lookAfterWaiting();
    return failures;
  };
  const first = async () => {
    const connecting = current();
    await settled();
    probes.at(-1)!.answer();
    return connecting;
  };
  return { clock, probes, connections, current, wait, first };
}

describe('connections to etcd', () => {
  it('asks the next member when one refuses, without waiting, and keeps to the one that answers', async () => {
    const { probes, current, connections } = setUp(['a:1', 'b:1']);
    const connecting = current();
    await settled();
    expect(probes).toHaveLength(1);
    probes[0]!.refuse(down());
    await settled();
    expect(probes).toHaveLength(2);
    probes[1]!.answer();
    expect(await connecting).toBe(probes[1]!.connection);
    expect(await current()).toBe(probes[1]!.connection);
    expect(probes).toHaveLength(2);
    connections.close(down());
  });

  it('asks another member beside one that does not answer at once', async () => {
    const { probes, current, clock, connections } = setUp(['a:1', 'b:1']);
    const connecting = current();
    await clock.advanceAsync(300);
    expect(probes).toHaveLength(2);
    probes[1]!.answer();
    expect(await connecting).toBe(probes[1]!.connection);
    expect(probes[0]!.signal.aborted).toBe(true);
    connections.close(down());
  });

  it('leaves a member on which a call has waited too long when another one answers first', async () => {
    const { probes, wait, first, current, clock, connections } = setUp(['a:1', 'b:1']);
    const silent = await first();
    const failures = wait(silent);
    await clock.advanceAsync(900);
    expect(probes).toHaveLength(1);
    await clock.advanceAsync(500);
    const other = probes.find(({ connection }) => connection.endpoint !== silent.endpoint)!;
    expect(failures).toEqual([]);
    other.answer();
    await settled();
    expect(failures).toMatchObject([{ error: { kind: 'unavailable' }, remedy: 'reconnect' }]);
    expect(await current()).toBe(other.connection);
    connections.close(down());
  });

  it('stays with a member that is only slow: it answers the probe first on the connection it has', async () => {
    const { probes, wait, first, current, clock, connections } = setUp(['a:1', 'b:1']);
    const slow = await first();
    const failures = wait(slow);
    await clock.advanceAsync(1_300);
    const again = probes.find((probe) => probe.connection === slow && probe !== probes[0])!;
    again.answer();
    await settled();
    expect(await current()).toBe(slow);
    expect(failures).toEqual([]);
    connections.close(down());
  });

  it('asks the only member again on a new connection', async () => {
    const { probes, wait, first, current, clock, connections } = setUp(['a:1']);
    const broken = await first();
    wait(broken);
    await clock.advanceAsync(1_300);
    const fresh = probes.find((probe) => probe.connection !== broken)!;
    fresh.answer();
    await settled();
    expect(await current()).toBe(fresh.connection);
    connections.close(down());
  });

  it('fails what has waited to its end, also when nobody else answers', async () => {
    const { wait, first, clock, connections } = setUp(['a:1']);
    const failures = wait(await first(), 3_000);
    await clock.advanceAsync(3_500);
    expect(failures.map(({ error }) => error.message)).toEqual([expect.stringMatching(/did not answer within 3/)]);
    connections.close(down());
  });

  it('says at its deadline what the last member said', async () => {
    const { probes, current, clock, connections } = setUp(['a:1']);
    const failing = expect(current(1_000)).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'nobody listens there',
    });
    for (let round = 0; round < 12; round += 1) {
      await clock.advanceAsync(100);
      for (const { refuse } of probes) refuse(down());
    }
    await failing;
    connections.close(down());
  });

  it('gives up at once where trying again cannot help', async () => {
    const { probes, current, clock, connections } = setUp(['a:1']);
    const failing = expect(current()).rejects.toMatchObject({ kind: 'unavailable', message: 'wrong password' });
    await settled();
    probes[0]!.refuse(new MetadataError('invalid', 'wrong password'));
    await clock.advanceAsync(500);
    await failing;
    connections.close(down());
  });

  it('ends everything that waits when it is closed', async () => {
    const { wait, first, current, connections } = setUp(['a:1']);
    const failures = wait(await first());
    const reason = new MetadataError('replaced', 'another cluster answers');
    connections.close(reason);
    expect(failures).toEqual([{ error: reason, remedy: 'nothing' }]);
    await expect(current()).rejects.toBe(reason);
  });
});
