import { Lifecycle } from './lifecycle.ts';
import { silentLogger } from './logger.ts';

describe('Lifecycle', () => {
  it('stops in the reverse order of the start, each component once', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLogger);
    for (const name of ['store', 'log', 'listener']) {
      await lifecycle.start(
        name,
        () => events.push(`start ${name}`),
        () => void events.push(`stop ${name}`),
      );
    }
    await Promise.all([lifecycle.stop(), lifecycle.stop()]);
    expect(events).toEqual(['start store', 'start log', 'start listener', 'stop listener', 'stop log', 'stop store']);
  });

  it('hands the started component to its stop', async () => {
    const lifecycle = new Lifecycle(silentLogger);
    let stopped: unknown;
    const component = await lifecycle.start(
      'a',
      () => Promise.resolve({ id: 7 }),
      (given) => void (stopped = given),
    );
    await lifecycle.stop();
    expect(stopped).toBe(component);
  });

  it('stops what runs when a later component fails to start, and passes the failure on', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLogger);
    await lifecycle.start(
      'store',
      () => undefined,
      () => void events.push('stop store'),
    );
    await expect(
      lifecycle.start(
        'listener',
        () => Promise.reject(new Error('port in use')),
        () => void events.push('stop listener'),
      ),
    ).rejects.toThrow('port in use');
    expect(events).toEqual(['stop store']);
  });

  it('goes on stopping when one component fails to', async () => {
    const events: string[] = [];
    const lifecycle = new Lifecycle(silentLogger);
    await lifecycle.start(
      'store',
      () => undefined,
      () => void events.push('stop store'),
    );
    await lifecycle.start(
      'listener',
      () => undefined,
      () => Promise.reject(new Error('stuck')),
    );
    await lifecycle.stop();
    expect(events).toEqual(['stop store']);
  });
});
