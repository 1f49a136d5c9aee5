import { settled } from '@kafscale/testkit';
import { SharedLoads } from './shared-loads.ts';

const sized = (name: string, sizeBytes = 10) => ({ name, sizeBytes });

/** A load that the test ends. */
function pending(name: string, sizeBytes?: number) {
  let resolve: (value: { name: string; sizeBytes: number }) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<{ name: string; sizeBytes: number }>((...ends) => ([resolve, reject] = ends));
  let reads = 0;
  return {
    read: () => {
      reads += 1;
      return promise;
    },
    get reads() {
      return reads;
    },
    arrive: () => resolve(sized(name, sizeBytes)),
    fail: () => reject(new Error('no answer')),
  };
}

describe('shared loads', () => {
  it('load once for all who ask meanwhile, and not again afterwards', async () => {
    const loads = new SharedLoads(100);
    const load = pending('a');
    const asked = [loads.load('a', load.read), loads.load('a', load.read)];
    load.arrive();
    expect(await Promise.all(asked)).toEqual([sized('a'), sized('a')]);
    expect(await loads.load('a', load.read)).toEqual(sized('a'));
    expect(load.reads).toBe(1);
  });

  it('forget the least recently used first, and keep within their bytes', async () => {
    const loads = new SharedLoads<{ name: string; sizeBytes: number }>(30);
    for (const name of ['a', 'b', 'c']) await loads.load(name, () => Promise.resolve(sized(name)));
    loads.get('a');
    await loads.load('d', () => Promise.resolve(sized('d')));
    expect(['a', 'b', 'c', 'd'].map((name) => loads.get(name)?.name)).toEqual(['a', undefined, 'c', 'd']);
    expect(loads.sizeBytes).toBe(30);
    await loads.load('large', () => Promise.resolve(sized('large', 31)));
    expect(loads.sizeBytes).toBe(0);
  });

  it('tell everybody of a failure, and try again for who comes later', async () => {
    const loads = new SharedLoads(100);
    const load = pending('a');
    const asked = [loads.load('a', load.read), loads.load('a', load.read)];
    load.fail();
    expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await loads.load('a', () => Promise.resolve(sized('a')))).toEqual(sized('a'));
  });

  it('go on for the others when one gives up', async () => {
    const loads = new SharedLoads(100);
    const load = pending('a');
    const abort = new AbortController();
    const gone = loads.load('a', load.read, abort.signal);
    const other = loads.load('a', load.read);
    abort.abort();
    await expect(gone).rejects.toMatchObject({ kind: 'aborted' });
    load.arrive();
    expect(await other).toEqual(sized('a'));
  });

  it('leave nobody with an unheard failure when the only one gave up', async () => {
    const loads = new SharedLoads(100);
    const load = pending('a');
    const gone = loads.load('a', load.read, AbortSignal.abort());
    await expect(gone).rejects.toMatchObject({ kind: 'aborted' });
    load.fail();
    await settled();
    expect(loads.get('a')).toBeUndefined();
  });

  it('do not keep what was discarded while it was loaded', async () => {
    const loads = new SharedLoads(100);
    const load = pending('a');
    const asked = loads.load('a', load.read);
    loads.discard('a');
    load.arrive();
    expect(await asked).toEqual(sized('a'));
    expect([loads.get('a'), loads.sizeBytes]).toEqual([undefined, 0]);
  });
});
