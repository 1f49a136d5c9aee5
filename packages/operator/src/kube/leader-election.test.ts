import { seededRandom, silentLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { createOperatorMetrics } from '../metrics/metrics.ts';
import type { KubeClient } from './kube-client.ts';
import { KubeError } from './kube-error.ts';
import { LeaderElection } from './leader-election.ts';
import { kinds, type Lease } from './kinds.ts';
import type { Stored } from './kube-object.ts';

/** A server that holds one lease, with versions, and can be told to fail. */
class LeaseServer {
  lease: Stored<Lease> | undefined;
  down = false;
  /** Answers of writes get lost, the writes themselves do not. */
  losesAnswers = false;
  writes = 0;
  #version = 0;

  client(): Pick<KubeClient, 'find' | 'create' | 'replace'> {
    const put = async (object: unknown): Promise<never> => {
      if (this.down) throw new KubeError('unavailable', 'down');
      this.#version += 1;
      this.writes += 1;
      const { metadata, spec } = object as Stored<Lease>;
      const resourceVersion = String(this.#version);
      this.lease = { ...(spec !== undefined && { spec }), metadata: { ...metadata, uid: 'u', resourceVersion } };
      if (this.losesAnswers) throw new KubeError('unavailable', 'the answer is lost');
      return structuredClone(this.lease) as never;
    };
    return {
      find: async () => {
        if (this.down) throw new KubeError('unavailable', 'down');
        return structuredClone(this.lease) as never;
      },
      create: async (_kind, object) => {
        if (!this.down && this.lease !== undefined) throw new KubeError('already-exists', 'taken');
        return put(object);
      },
      replace: async (_kind, object) => {
        if (!this.down && this.lease?.metadata.resourceVersion !== object.metadata.resourceVersion) {
          throw new KubeError('conflict', 'outdated');
        }
        return put(object);
      },
    };
  }
}

interface Candidate {
  readonly election: LeaderElection;
  readonly terms: AbortSignal[];
}

describe('the leader election', () => {
  let clock: FakeClock;
  let server: LeaseServer;
  let candidates: Candidate[];

  beforeEach(() => {
    clock = new FakeClock();
    server = new LeaseServer();
    candidates = [];
  });
  afterEach(async () => {
    for (const { election } of candidates) await clock.runUntilSettled(election.stop());
  });

  function candidate(identity: string, client = server.client()): Candidate {
    const terms: AbortSignal[] = [];
    const election = new LeaderElection({
      ...{ client, clock, random: seededRandom(1), logger: silentLogger, metrics: createOperatorMetrics(), identity },
      lease: { namespace: 'system', name: 'kafscale-operator' },
      onElected: (signal) => terms.push(signal),
    });
    const made = { election, terms };
    candidates.push(made);
    election.start();
    return made;
  }

  it('makes the lease when there is none, and keeps renewing it', async () => {
    const a = candidate('a');
    await clock.advanceAsync(60_000);
    expect(a.election.leads).toBe(true);
    expect(a.terms).toHaveLength(1);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 0, leaseDurationSeconds: 15 });
    expect(server.writes).toBe(31);
  });

  it('has one leader at a time', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    const b = candidate('b');
    await clock.advanceAsync(120_000);
    expect([a.election.leads, b.election.leads]).toEqual([true, false]);
  });

  it('passes on when the holder is gone, and never before it stopped to write', async () => {
    const unreachable = server.client();
    let cut = false;
    const fails = async (): Promise<never> => {
      throw new KubeError('unavailable', 'cut off');
    };
    const a = candidate('a', {
      find: (...args) => (cut ? fails() : unreachable.find(...args)),
      create: unreachable.create,
      replace: (...args) => (cut ? fails() : unreachable.replace(...args)),
    });
    await clock.advanceAsync(5000);
    const b = candidate('b');
    await clock.advanceAsync(5000);
    cut = true;
    let waitedMs = 0;
    while (!b.election.leads && waitedMs < 60_000) {
      expect(a.election.leads && b.election.leads).toBe(false);
      await clock.advanceAsync(100);
      waitedMs += 100;
    }
    expect(a.terms[0]?.aborted).toBe(true);
    expect(waitedMs).toBeGreaterThan(12_000);
    expect(waitedMs).toBeLessThan(20_000);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it('stops writing at the renew deadline although nobody took the lease', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    server.down = true;
    await clock.advanceAsync(9_800);
    expect(a.election.leads).toBe(true);
    await clock.advanceAsync(200);
    expect(a.election.leads).toBe(false);
    expect(a.terms[0]?.aborted).toBe(true);
    server.down = false;
    await clock.advanceAsync(5000);
    expect(a.election.leads).toBe(true);
    expect(a.terms).toHaveLength(2);
  });

  it('keeps the lease when only answers of its renewals get lost', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    server.losesAnswers = true;
    await clock.advanceAsync(6000);
    server.losesAnswers = false;
    await clock.advanceAsync(60_000);
    expect(a.terms).toHaveLength(1);
    expect(a.election.leads).toBe(true);
  });

  it('gives way when somebody else is written into the lease', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    const lease = server.lease!;
    await server.client().replace(kinds.Lease, { ...lease, spec: { ...lease.spec, holderIdentity: 'z' } });
    await clock.advanceAsync(2500);
    expect(a.election.leads).toBe(false);
    expect(a.terms[0]?.aborted).toBe(true);
  });

  it('keeps the lease when somebody only annotates it', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    const { lease } = server;
    await server
      .client()
      .replace({} as never, { ...lease!, metadata: { ...lease!.metadata, annotations: { x: '1' } } });
    await clock.advanceAsync(20_000);
    expect(a.terms).toHaveLength(1);
    expect(a.election.leads).toBe(true);
  });

  it('gives the lease back when it stops, so that the next need not wait', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    const b = candidate('b');
    await clock.advanceAsync(5000);
    await a.election.stop();
    expect(a.election.leads).toBe(false);
    expect(server.lease?.spec?.holderIdentity).toBe('');
    await clock.advanceAsync(3000);
    expect(b.election.leads).toBe(true);
  });

  it('judges a rival by its own clock, not by the times in the lease', async () => {
    const a = candidate('a');
    await clock.advanceAsync(100);
    clock.jumpWall(-3_600_000);
    const b = candidate('b');
    await clock.advanceAsync(20_000);
    clock.jumpWall(7_200_000);
    await clock.advanceAsync(20_000);
    expect([a.election.leads, b.election.leads]).toEqual([true, false]);
  });

  it('refuses times that leave no room', () => {
    const settings = { ...{ clock, random: seededRandom(1), logger: silentLogger, metrics: createOperatorMetrics() } };
    const lease = { namespace: 'system', name: 'l' };
    const rest = { client: server.client(), identity: 'a', lease, onElected: () => undefined };
    expect(() => new LeaderElection({ ...settings, ...rest, renewDeadlineMs: 15_000 })).toThrow('lease duration');
  });
});
