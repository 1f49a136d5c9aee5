import { seededRandom, silentLogger, systemClock } from '@kafscale/runtime';
import { eventually, FakeKubeApi, type FakeObject } from '@kafscale/testkit';
import { request } from 'node:https';
import type { MetricsReport } from '@kafscale/protocol';
import { LoadReports } from '../brokers/load-reports.ts';
import { createKubeClient, type KubeClient } from '../kube/index.ts';
import { createOperatorMetrics } from '../metrics/metrics.ts';
import { apiServiceKind, createExternalMetrics, type ExternalMetrics } from './external-metrics.ts';
import { certificatesIn, makeCertificate, type ServingCertificate } from './serving-certificate.ts';

const service = { namespace: 'operator', name: 'metrics' };
const secret = { namespace: 'operator', name: 'metrics-tls' };
const entryName = 'v1beta1.external.metrics.k8s.io';
const path = '/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/kafscale_cluster_bytes_in_per_second';
const hour = 3_600_000;

const certificateFor = (name: string, seed: number): ServingCertificate =>
  makeCertificate({
    ...{ names: [name], random: seededRandom(seed), role: 'client' },
    ...{ notBeforeMs: Date.now() - hour, notAfterMs: Date.now() + hour },
  });
const aggregator = certificateFor('aggregator', 10);

describe('external metrics', () => {
  let api: FakeKubeApi;
  let client: KubeClient;
  let reports: LoadReports;
  let serving: ExternalMetrics;

  beforeEach(async () => {
    const { apiVersion, kind, plural, namespaced } = apiServiceKind;
    api = await FakeKubeApi.start({ kinds: [{ apiVersion, kind, plural, namespaced }] });
    client = createKubeClient({ access: api.access(), clock: systemClock });
    reports = new LoadReports(systemClock);
    api.create('ConfigMap', {
      metadata: { namespace: 'kube-system', name: 'extension-apiserver-authentication' },
      data: {
        'requestheader-client-ca-file': aggregator.cert,
        'requestheader-allowed-names': '["aggregator"]',
        'requestheader-username-headers': '["X-Remote-User"]',
      },
    });
  });

  afterEach(async () => {
    await serving.stop();
    await client.close();
    await api.stop();
  });

  const addEntry = (target: object = service) =>
    api.create('APIService', {
      metadata: { name: entryName },
      spec: { service: target, group: 'external.metrics.k8s.io' },
    });
  const bundle = () => {
    const { caBundle } = (api.get('APIService', entryName)?.['spec'] ?? {}) as { caBundle?: string };
    return caBundle === undefined ? undefined : Buffer.from(caBundle, 'base64').toString();
  };
  const trusted = () => eventually('the entry trusts us', () => bundle() !== undefined && serving.port > 0, 20_000, 10);

  async function start(more: { readonly lookEveryMs?: number } = {}) {
    serving = createExternalMetrics({
      ...{ client, reports, clock: systemClock, random: seededRandom(1), logger: silentLogger, service, secret },
      ...{ metrics: createOperatorMetrics(), listen: { host: '127.0.0.1', port: 0 } },
      readyBrokers: () => 1,
      clustersIn: (namespace) => (namespace === 'shop' ? ['a'] : []),
      ...more,
    });
    await serving.start();
  }

  const ask = (
    settings: {
      readonly as?: ServingCertificate;
      readonly headers?: Record<string, string>;
      readonly method?: string;
    } = {},
  ) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const { as = aggregator, headers = { 'x-remote-user': 'hpa' }, method = 'GET' } = settings;
      const asked = request(
        {
          ...{ host: '127.0.0.1', port: serving.port, path, method, headers, agent: false },
          ...{ servername: 'metrics.operator.svc', ca: bundle() ?? '', ...as },
        },
        (answer) => {
          let text = '';
          answer
            .on('data', (piece: Buffer) => (text += piece.toString()))
            .on('end', () => {
              resolve({ status: answer.statusCode ?? 0, text });
            });
        },
      );
      asked.on('error', reject).end();
    });

  const report = (atMs: number, bytes: number): MetricsReport => ({
    ...{ brokerId: 0, timestampMs: 1_000 + atMs, gauges: {}, counters: { kafscale_produced_bytes_total: bytes } },
  });

  it('are served to the aggregator, over TLS that its entry trusts', async () => {
    addEntry();
    await start();
    await trusted();
    expect(await ask()).toMatchObject({ status: 503, text: expect.stringContaining('0 of 1') as string });
    reports.add('shop/a', report(0, 0));
    reports.add('shop/a', report(1_000, 5_000));
    const { status, text } = await ask();
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      items: [{ value: '5000', metricLabels: { 'kafscale.io/cluster': 'a' } }],
    });
    expect(await ask({ method: 'POST' })).toMatchObject({ status: 405 });
  });

  it('are for nobody else', async () => {
    addEntry();
    await start();
    await trusted();
    expect(await ask({ as: certificateFor('aggregator', 11) })).toMatchObject({ status: 401 });
    expect(await ask({ as: { cert: '', key: '' } })).toMatchObject({ status: 401 });
    expect(await ask({ headers: {} })).toMatchObject({ status: 403 });
    api.update(
      'ConfigMap',
      'extension-apiserver-authentication',
      (object) => {
        (object['data'] as Record<string, string>)['requestheader-allowed-names'] = '["somebody"]';
      },
      'kube-system',
    );
    await serving.stop();
    await start();
    await eventually('it serves', () => serving.port > 0);
    expect(await ask()).toMatchObject({ status: 403 });
  });

  it('are for nobody at all while the API server does not say who its aggregator is', async () => {
    addEntry();
    api.delete('ConfigMap', 'extension-apiserver-authentication', 'kube-system');
    await start();
    await trusted();
    expect(await ask()).toMatchObject({ status: 401 });
  });

  it('keep their certificate over a restart, and write nothing then', async () => {
    addEntry();
    await start();
    await trusted();
    const before = bundle();
    await serving.stop();
    api.requests.length = 0;
    await start();
    await eventually('it serves', () => serving.port > 0);
    expect(bundle()).toBe(before);
    expect(api.writes).toEqual([]);
  });

  it('renew their certificate, and both are trusted meanwhile', async () => {
    addEntry();
    await start();
    await trusted();
    const first = certificatesIn(bundle()!);
    // As if it were near its end.
    const old = makeCertificate({
      ...{ names: ['metrics.operator.svc'], random: seededRandom(3) },
      ...{ notBeforeMs: Date.now() - 3 * hour, notAfterMs: Date.now() + hour },
    });
    const inBase64 = (text: string) => Buffer.from(text).toString('base64');
    await serving.stop();
    api.update(
      'Secret',
      secret.name,
      (object: FakeObject) => {
        object['data'] = { 'tls.crt': inBase64(old.cert), 'tls.key': inBase64(old.key), 'ca.crt': inBase64(old.cert) };
      },
      secret.namespace,
    );
    await start();
    await eventually('two are trusted', () => certificatesIn(bundle() ?? '').length === 2, 20_000, 10);
    expect(certificatesIn(bundle()!)[1]!.pem).toBe(old.cert);
    expect(certificatesIn(bundle()!)[0]!.pem).not.toBe(first[0]!.pem);
    await eventually('it serves', () => serving.port > 0);
    expect((await ask()).status).toBe(503);
  });

  it('leave an entry alone that points to somebody else, and make none', async () => {
    await start({ lookEveryMs: 1_000 });
    await eventually('it serves', () => serving.port > 0);
    expect(api.get('APIService', entryName)).toBeUndefined();
    addEntry({ namespace: 'keda', name: 'keda-metrics' });
    await serving.stop();
    await start();
    await eventually('it serves', () => serving.port > 0);
    expect(bundle()).toBeUndefined();
  });
});
