import { CommandError } from '../output.ts';
import { operatorConfig } from './operator.ts';

test('starts without a single variable', () => {
  expect(operatorConfig({}, {}).config).toMatchObject({
    ...{ leaderElect: true, leaderKey: 'kafscale-operator', metricsAddress: { port: 8080 } },
    podLabels: { 'app.kubernetes.io/name': 'kafscale-operator' },
  });
});

test('options win over variables', () => {
  const env = { KAFSCALE_OPERATOR_METRICS_ADDR: ':1', KAFSCALE_OPERATOR_LEADER_ELECT: 'true' };
  const { config } = operatorConfig({ metricsBindAddress: '127.0.0.1:0', leaderElect: 'false' }, env);
  expect(config).toMatchObject({ leaderElect: false, metricsAddress: { host: '127.0.0.1', port: 0 } });
});

test('reads what the chart sets', () => {
  const { config, unknownNames } = operatorConfig(
    {},
    {
      ...{ KAFSCALE_OPERATOR_WATCH_NAMESPACES: 'a,b', KAFSCALE_OPERATOR_POD_LABELS: 'x=1,y=2' },
      ...{ KAFSCALE_OPERATOR_STREAM_METRICS_ADDR: ':9095', BROKER_IMAGE: 'kafscale:2', POD_NAMESPACE: 'system' },
      ...{ BROKER_IMAGE_PULL_POLICY: 'Never', KAFSCALE_OPERATOR_EXTERNAL_METRICS_ADDR: ':8443' },
    },
  );
  expect(config).toMatchObject({
    ...{ watchNamespaces: ['a', 'b'], podLabels: { x: '1', y: '2' }, namespace: 'system', brokerImage: 'kafscale:2' },
    ...{ brokerPullPolicy: 'Never', externalMetricsAddress: { port: 8443 } },
  });
  expect(unknownNames).toEqual([]);
});

test('every fault is named at once', () => {
  const env = { KAFSCALE_OPERATOR_POD_LABELS: 'nothing', BROKER_IMAGE_PULL_POLICY: 'Sometimes' };
  expect(() => operatorConfig({}, env)).toThrow(CommandError);
  expect(() => operatorConfig({}, env)).toThrow(/KAFSCALE_OPERATOR_POD_LABELS[\s\S]*BROKER_IMAGE_PULL_POLICY/);
});
