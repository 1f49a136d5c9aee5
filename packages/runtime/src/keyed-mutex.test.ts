import { KeyedMutex } from './keyed-mutex.ts';

const ticks = async (): Promise<void> => {
  for (let tick = 0; tick < 10; tick += 1) await Promise.resolve();
};

describe('KeyedMutex', () => {
  it('runs one holder of a key at a time, in the order they asked', async () => {
    const mutex = new KeyedMutex<string>();
    const events: string[] = [];
    const work = (name: string) => async () => {
      events.push(`${name} starts`);
      await ticks();
      events.push(`${name} ends`);
    };
    await Promise.all([mutex.run('a', work('1')), mutex.run('a', work('2')), mutex.run('a', work('3'))]);
    expect(events).toEqual(['1 starts', '1 ends', '2 starts', '2 ends', '3 starts', '3 ends']);
  });

  it('lets different keys run together', async () => {
    const mutex = new KeyedMutex<string>();
    let release: () => void = () => undefined;
    const held = mutex.run('a', () => new Promise<void>((resolve) => (release = resolve)));
    await expect(mutex.run('b', () => 'done')).resolves.toBe('done');
    release();
    await held;
  });

  it('passes on a failure and goes on with the next waiter', async () => {
    const mutex = new KeyedMutex<string>();
    const failing = mutex.run('a', () => Promise.reject(new Error('no')));
    const next = mutex.run('a', () => 'next');
    await expect(failing).rejects.toThrow('no');
    await expect(next).resolves.toBe('next');
  });

  it('holds several keys together, and never lets two wait for each other', async () => {
    const mutex = new KeyedMutex<string>();
    const events: string[] = [];
    const work = (name: string) => async () => {
      events.push(`${name} starts`);
      await ticks();
      events.push(`${name} ends`);
    };
    await Promise.all([
      mutex.run('b', work('1')),
      mutex.runAll(['a', 'b'], work('2')),
      mutex.runAll(['b', 'a', 'b'], work('3')),
      mutex.run('a', work('4')),
    ]);
    const inTurn = ['1', '2', '3', '4'].flatMap((name) => [`${name} starts`, `${name} ends`]);
    expect(events).toEqual(inTurn);
    expect(mutex.size).toBe(0);
  });

  it('forgets a key that nobody holds', async () => {
    const mutex = new KeyedMutex<string>();
    await Promise.all([mutex.run('a', ticks), mutex.run('a', ticks), mutex.run('b', ticks)]);
    expect(mutex.size).toBe(0);
  });
});
