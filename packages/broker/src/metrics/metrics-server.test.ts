import { silentLogger, systemClock } from '@kafscale/runtime';
import { connect } from 'node:net';
import { createMetrics } from './metrics.ts';
import { MetricsServer } from './metrics-server.ts';

describe('the metrics server', () => {
  const metrics = createMetrics();
  let isReady = false;
  let hasStarted = false;
  let objectStoreState = 'healthy';
  let server: MetricsServer;

  beforeAll(async () => {
    server = await MetricsServer.start({
      address: { host: '127.0.0.1', port: 0 },
      metrics,
      logger: silentLogger,
      clock: systemClock,
      isReady: () => isReady,
      hasStarted: () => hasStarted,
      objectStoreState: () => objectStoreState,
    });
  });
  afterAll(() => server.close());

  const get = async (path: string, init?: RequestInit) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  };

  /** What comes back for raw bytes, up to the end of the connection. */
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let received = '';
      const socket = connect({ host: '127.0.0.1', port: server.port }, () => socket.write(bytes));
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('error', () => undefined).on('close', () => resolve(received));
    });

  it('prints the metrics in the text format of Prometheus', async () => {
    metrics.produceRequests.inc(3);
    const { status, type, text } = await get('/metrics');
    expect({ status, type }).toEqual({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' });
    expect(text).toContain('\nkafscale_produce_requests_total 3\n');
  });

  it('is healthy as long as it answers', async () => {
    expect(await get('/healthz')).toMatchObject({ status: 200, text: 'ok\n' });
  });

  it('is ready when the broker is', async () => {
    expect(await get('/readyz')).toMatchObject({ status: 503, text: 'not ready\n' });
    isReady = true;
    expect(await get('/readyz')).toMatchObject({ status: 200, text: 'ready\n' });
  });

  it('has started once it served, and goes on having started', async () => {
    isReady = false;
    hasStarted = false;
    expect(await get('/startupz')).toMatchObject({ status: 503, text: 'starting\n' });
    hasStarted = true;
    expect(await get('/startupz')).toMatchObject({ status: 200, text: 'started\n' });
    expect(await get('/readyz')).toMatchObject({ status: 503 });
  });

  it('names an object store that is not well, and stays ready for those who read', async () => {
    isReady = true;
    objectStoreState = 'unavailable';
    expect(await get('/readyz')).toMatchObject({ status: 200, text: 'ready, object store unavailable\n' });
    objectStoreState = 'healthy';
  });

  it('knows no other path and no other method', async () => {
    expect((await get('/../../etc/passwd')).status).toBe(404);
    expect((await get('/metrics/')).status).toBe(404);
    expect((await get('/metrics', { method: 'POST', body: 'x' })).status).toBe(405);
  });

  it('closes on headers that are too long or not HTTP', async () => {
    expect(await raw(`GET /metrics HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).not.toContain('200 OK');
    expect(await raw('\x00\x00\x00\x01')).not.toContain('200 OK');
  });
});
