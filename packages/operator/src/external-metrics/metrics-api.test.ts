import type { BrokerLoad } from '../brokers/load-reports.ts';
import { clusterLoad, type ClusterLoad } from './cluster-load.ts';
import { answerOf } from './metrics-api.ts';

const bytesIn = 'kafscale_cluster_bytes_in_per_second';
const root = '/apis/external.metrics.k8s.io/v1beta1';

const broker = (brokerId: number, produced: number, more: Partial<BrokerLoad> = {}): BrokerLoad => ({
  ...{ brokerId, ageMs: 0, gauges: {}, counters: {} },
  rates: { kafscale_produced_bytes_total: produced, kafscale_fetched_bytes_total: 2 * produced },
  ...more,
});

describe('the load of a cluster', () => {
  it('is the sum over its brokers', () => {
    const loads = [broker(0, 100), broker(1, 50.5)];
    expect(clusterLoad(bytesIn, { loads, readyBrokers: 2 })).toEqual({ isKnown: true, perSecond: 150.5 });
    const out = clusterLoad('kafscale_cluster_bytes_out_per_second', { loads, readyBrokers: 2 });
    expect(out).toEqual({ isKnown: true, perSecond: 301 });
  });

  it.each([
    ['a broker reports nothing', [broker(0, 100)], 2],
    ['a report is old', [broker(0, 100), broker(1, 1, { ageMs: 15_001 })], 2],
    ['a broker has reported once only', [broker(0, 100), broker(1, 1, { rates: {} })], 2],
    ['there is no broker', [], 0],
  ])('is unknown when %s', (_, loads, readyBrokers) => {
    expect(clusterLoad(bytesIn, { loads, readyBrokers })).toMatchObject({ isKnown: false });
  });

  it('counts a broker that is ending as long as it reports', () => {
    const loads = [broker(0, 100), broker(1, 50)];
    expect(clusterLoad(bytesIn, { loads, readyBrokers: 1 })).toEqual({ isKnown: true, perSecond: 150 });
  });
});

describe('the metrics API', () => {
  const loads: Readonly<Record<string, ClusterLoad>> = {
    'shop/a': { isKnown: true, perSecond: 12.2 },
    'shop/b': { isKnown: true, perSecond: 7 },
    'shop/c': { isKnown: false, why: '1 of 3 ready brokers report their load' },
  };
  const ask = (path: string, labelSelector?: string) =>
    answerOf(path, new URLSearchParams(labelSelector === undefined ? {} : { labelSelector }), {
      wallMs: () => 1_700_000_000_123,
      clustersIn: (namespace) => (namespace === 'shop' ? ['a', 'b', 'c'] : []),
      load: (_metric, { namespace = '', name }) => loads[`${namespace}/${name}`]!,
    });
  const values = (selector?: string, namespace = 'shop') => ask(`${root}/namespaces/${namespace}/${bytesIn}`, selector);
  const clusters = (answer: { readonly body: object }) =>
    (answer.body as { items: { metricLabels: Record<string, string> }[] }).items.map(
      ({ metricLabels }) => metricLabels['kafscale.io/cluster'],
    );

  it('gives a value in the form that autoscalers read', () => {
    expect(values('kafscale.io/cluster=a')).toEqual({
      status: 200,
      body: {
        ...{ kind: 'ExternalMetricValueList', apiVersion: 'external.metrics.k8s.io/v1beta1', metadata: {} },
        items: [
          {
            ...{ metricName: bytesIn, metricLabels: { 'kafscale.io/cluster': 'a' } },
            ...{ timestamp: '2023-11-14T22:13:20Z', value: '13' },
          },
        ],
      },
    });
  });

  it.each([
    ['kafscale.io/cluster==b', ['b']],
    ['kafscale.io/cluster in (a, b)', ['a', 'b']],
    ['kafscale.io/cluster=nobody', []],
    ['', ['a', 'b']],
  ])('selects by %j', (selector, names) => {
    expect(clusters(values(selector))).toEqual(names);
  });

  it('says nothing of clusters of another namespace', () => {
    expect(clusters(values('kafscale.io/cluster=a', 'other'))).toEqual([]);
  });

  it('fails, and says why, where the load is not known', () => {
    expect(values('kafscale.io/cluster=c')).toMatchObject({
      status: 503,
      body: { kind: 'Status', reason: 'ServiceUnavailable', message: expect.stringContaining('1 of 3') as string },
    });
  });

  it.each(['app=x', 'kafscale.io/cluster!=a', 'kafscale.io/cluster=a,app=x', 'kafscale.io/cluster'])(
    'refuses to select by %s',
    (selector) => {
      expect(values(selector)).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    },
  );

  it('tells what there is to be had', () => {
    expect(ask(root)).toMatchObject({
      status: 200,
      body: { kind: 'APIResourceList', resources: [{ name: bytesIn, namespaced: true, verbs: ['get'] }, {}] },
    });
    expect(ask('/apis/external.metrics.k8s.io')).toMatchObject({ status: 200, body: { kind: 'APIGroup' } });
    expect(ask('/apis')).toMatchObject({ status: 200, body: { kind: 'APIGroupList' } });
    expect(ask(`${root}/namespaces/shop/other`)).toMatchObject({ status: 404, body: { reason: 'NotFound' } });
    expect(ask('/etc/passwd')).toMatchObject({ status: 404 });
  });
});
