/** The ground that other scenarios stand on: pods start, find each other by name, and are reached from the node. */
import { images } from '../images.ts';
import { deployment, nodeProgram, service } from '../manifests.ts';
import { eventually, runOutside, Scenario } from '../scenario.ts';

const port = 8080;
/** Says which pod it is. */
const server = nodeProgram(
  `require('node:http').createServer((_, answer) => answer.end(process.env.HOSTNAME)).listen(${port});
   process.on('SIGTERM', () => process.exit(0));`,
);
const client = (url: string) => nodeProgram(`fetch('${url}').then((a) => a.text()).then((t) => console.log(t))`);

describe('pods of this cluster', () => {
  let scenario: Scenario;
  beforeAll(async () => {
    scenario = await Scenario.begin('e2e-network');
    const named = { ports: { http: port }, ready: { path: '/', port } };
    await scenario.apply(
      deployment(scenario.place('web'), 2, { ...server, ...named }),
      service(scenario.place('web'), { http: port }),
      service(scenario.place('web-each'), { http: port }, { of: 'web', headless: true }),
      service(scenario.place('web-outside'), { http: port }, { of: 'web', type: 'NodePort' }),
      service(scenario.place('web-balanced'), { http: port }, { of: 'web', type: 'LoadBalancer' }),
    );
    await scenario.rolledOut('web');
  });
  afterAll(() => scenario.end());

  const podNames = async (): Promise<string[]> => (await scenario.pods('web')).map(({ metadata }) => metadata.name);

  it('reach a Service by its name', async () => {
    const answer = await scenario.ask('by-name', client(`http://web.${scenario.namespace}.svc:${port}`));
    expect(await podNames()).toContain(answer.trim());
  });

  it('reach one pod by its address as a name', async () => {
    const [first] = await scenario.pods('web');
    const dashed = first!.status.podIP!.replaceAll('.', '-');
    const url = `http://${dashed}.web-each.${scenario.namespace}.svc:${port}`;
    expect((await scenario.ask('by-address', client(url))).trim()).toBe(first!.metadata.name);
  });

  interface ServiceObject {
    readonly spec: { readonly clusterIP: string; readonly ports: readonly { readonly nodePort?: number }[] };
    readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
  }
  const find = (name: string) => scenario.kubectl.get<ServiceObject>('service', name, scenario.namespace);

  const nodePortUrl = async (): Promise<string> => {
    const nodes = await scenario.kubectl.list<{
      readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
    }>('nodes');
    const node = nodes[0]!.status.addresses.find(({ type }) => type === 'InternalIP')!.address;
    return `http://${node}:${(await find('web-outside')).spec.ports[0]!.nodePort!}`;
  };

  it('are reached from the node by Service, by port of the node and by address', async () => {
    const pods = await scenario.pods('web');
    const { clusterIP } = (await find('web')).spec;
    for (const url of [
      `http://${clusterIP}:${port}`,
      await nodePortUrl(),
      `http://${pods[0]!.status.podIP!}:${port}`,
    ]) {
      expect(await podNames()).toContain(await (await fetch(url)).text());
    }
  });

  it('are reached from outside by port of the node and by load balancer', async () => {
    const ingress = async () => (await find('web-balanced')).status.loadBalancer.ingress;
    await eventually('the load balancer has an address', async () => (await ingress()) !== undefined, 30_000);
    for (const url of [await nodePortUrl(), `http://${(await ingress())![0]!.ip}:${port}`]) {
      const program = `fetch('${url}').then((a) => a.text()).then((t) => console.log(t))`;
      expect(await podNames()).toContain((await runOutside(process.execPath, ['--eval', program])).trim());
    }
  });

  it('are refused when they want to be root', async () => {
    const rootPod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: scenario.place('root'),
      spec: { containers: [{ name: 'main', image: images.tools }] },
    };
    await expect(scenario.apply(rootPod)).rejects.toThrow('violates PodSecurity "restricted');
  });

  it('that are gone get no more requests', async () => {
    await scenario.kubectl.run(['scale', 'deployment/web', '--replicas=0', '-n', scenario.namespace]);
    await eventually('no pod is left', async () => (await podNames()).length === 0, 60_000);
    await expect(scenario.ask('after-the-end', client(`http://web.${scenario.namespace}.svc:${port}`))).rejects.toThrow(
      /ECONNREFUSED|fetch failed/,
    );
  });
});
