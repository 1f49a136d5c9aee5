import { jest } from '@jest/globals';
import { eventually } from '../../eventually.ts';
import { ControlPlane } from './control-plane.ts';
import { Kubectl, type KubeObject } from './kubectl.ts';
import { kubeBinaries, kubernetesVersion } from './kubernetes-programs.ts';

const minutes = 60_000;
// Kubernetes is built here when it was not before.
jest.setTimeout(90 * minutes);

const configMap = (name: string, data: Readonly<Record<string, string>>): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default' },
  data,
});

describe('a real API server', () => {
  let controlPlane: ControlPlane;
  beforeAll(async () => {
    controlPlane = await ControlPlane.start();
  });
  afterAll(() => controlPlane.close());

  it('is the version that it was built as', async () => {
    expect(await controlPlane.kubectl.run(['version'])).toContain(`Server Version: ${kubernetesVersion}`);
  });

  it('keeps the fields of two appliers apart', async () => {
    const { kubectl } = controlPlane;
    await kubectl.apply([configMap('shared', { mine: '1' })], '--field-manager=one');
    await kubectl.apply([configMap('shared', { yours: '2' })], '--field-manager=two');
    await kubectl.apply([configMap('shared', {})], '--field-manager=one');
    expect((await kubectl.get('configmap', 'shared', 'default'))['data']).toEqual({ yours: '2' });
  });

  it('keeps what it has through kill -9', async () => {
    await controlPlane.kubectl.apply([configMap('kept', {})]);
    await controlPlane.apiServer.kill();
    await controlPlane.startApiServer();
    expect(await controlPlane.kubectl.find('configmap', 'kept', 'default')).toBeDefined();
  });

  it('lets a user without a role do nothing', async () => {
    const { kubectl: program } = await kubeBinaries();
    const stranger = new Kubectl(program, await controlPlane.kubeconfigFor({ name: 'stranger' }));
    await expect(stranger.list('configmaps', 'default')).rejects.toThrow('cannot list resource "configmaps"');
  });
});

describe('a real control plane', () => {
  let controlPlane: ControlPlane;
  beforeAll(async () => {
    controlPlane = await ControlPlane.start({ controllers: true });
  });
  afterAll(() => controlPlane.close());

  it('makes pods of a Deployment, and removes them with it', async () => {
    const { kubectl } = controlPlane;
    const labels = { app: 'thing' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'thing', image: 'thing:1' }] } };
    const metadata = { name: 'thing', namespace: 'default' };
    const spec = { replicas: 2, selector: { matchLabels: labels }, template };
    await kubectl.apply([{ apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec }]);
    const pods = (): Promise<readonly KubeObject[]> => kubectl.list('pods', 'default', 'app=thing');
    await eventually('there are two pods', async () => (await pods()).length === 2, 30_000);
    await kubectl.run(['delete', 'deployment', 'thing', '-n', 'default']);
    await eventually('there are none', async () => (await pods()).length === 0, 30_000);
  });
});
