/**
 * Brokers as pods without an operator beside them: what they do by themselves when Kubernetes starts, moves, ends or kills them. Clients
 * write and read the whole time, and nothing that they were acknowledged may be missing.
 */
import { applyBrokers, brokers, brokerSelector, type BrokerSettings } from '../broker-cluster.ts';
import { killContainer } from '../control-plane/kill-container.ts';
import { evict } from '../evict.ts';
import { images } from '../images.ts';
import { Load, restarts } from '../load.ts';
import { nodeProgram, service } from '../manifests.ts';
import { eventually, runOutside, Scenario, type PodStatus } from '../scenario.ts';
import { startStores, type StoresOfCluster } from '../stores.ts';

const topic = 'orders';
const partitions = 6;

describe('brokers in pods', () => {
  let scenario: Scenario;
  let stores: StoresOfCluster;
  let bootstrap: string;

  const apply = async (settings: BrokerSettings): Promise<void> => {
    await applyBrokers(scenario, stores, settings);
    await scenario.rolledOut(brokers);
  };
  const pods = (): Promise<readonly PodStatus[]> => scenario.podsOf(brokerSelector);
  const ofDeployment = (command: string, ...args: readonly string[]): Promise<string> =>
    scenario.kubectl.run([...command.split(' '), `deployment/${brokers}`, ...args, '-n', scenario.namespace]);
  const startLoad = (name: string): Promise<Load> => Load.start(scenario, name, { bootstrap, topic, partitions });

  beforeAll(async () => {
    scenario = await Scenario.begin('e2e-broker');
    stores = await startStores(scenario);
    await apply({ replicas: 2 });
    bootstrap = `${brokers}.${scenario.namespace}.svc:9092`;
    const createTopic = `
      const { Kafka } = require('/kafscale/node_modules/kafkajs');
      const admin = new Kafka({ brokers: ['${bootstrap}'], retry: { retries: 20 } }).admin();
      admin.connect()
        .then(() => admin.createTopics({ topics: [{ topic: '${topic}', numPartitions: ${partitions} }], waitForLeaders: true }))
        .then(() => admin.disconnect());`;
    await scenario.ask('create-topic', nodeProgram(createTopic), 240);
  });
  afterAll(() => scenario.end());

  it('serve a client in another pod, each broker by a name of its own', async () => {
    const load = await startLoad('first');
    await load.moves();
    await load.stopAndCheck();
  });

  it('hand over and end in time when their pod is deleted under load', async () => {
    const load = await startLoad('deleted');
    const [victim] = await pods();
    const { name } = victim!.metadata;
    const logs = scenario.kubectl.run(['logs', '--follow', `pod/${name}`, '-n', scenario.namespace]).catch(String);
    await load.countGaps();
    await scenario.kubectl.run(['delete', 'pod', name, '-n', scenario.namespace]);
    await scenario.rolledOut(brokers);
    await load.moves();
    await load.tellGaps('a pod deleted');
    await load.stopAndCheck();
    expect(await logs).toContain('"msg":"stopped"');
    expect(restarts(await pods())).toEqual([0, 0]);
  });

  it('lose nothing when one of them is killed with -9', async () => {
    const load = await startLoad('killed');
    const [victim] = await pods();
    await load.countGaps();
    await killContainer(victim!.metadata.uid!);
    const restarted = async (): Promise<boolean> => restarts(await pods()).includes(1);
    await eventually('the container was started again', restarted, 120_000);
    await scenario.rolledOut(brokers);
    await load.moves();
    await load.tellGaps('a container killed');
    await load.stopAndCheck();
  });

  it('lose nothing in a rolling restart', async () => {
    const load = await startLoad('restarted');
    const before = (await pods()).map(({ metadata }) => metadata.name);
    await load.countGaps();
    await ofDeployment('rollout restart');
    await scenario.rolledOut(brokers);
    await load.moves();
    await load.tellGaps('a rolling restart');
    await load.stopAndCheck();
    expect((await pods()).filter(({ metadata }) => before.includes(metadata.name))).toEqual([]);
  });

  it('lose nothing in an upgrade of the image and its rollback', async () => {
    const load = await startLoad('upgraded');
    await load.countGaps();
    await ofDeployment('set image', `broker=${images.kafscaleNext}`);
    await scenario.rolledOut(brokers);
    await ofDeployment('rollout undo');
    await scenario.rolledOut(brokers);
    await load.moves();
    await load.tellGaps('an upgrade and its rollback');
    await load.stopAndCheck();
  });

  it('lose nothing when they are evicted one after another', async () => {
    const load = await startLoad('evicted');
    const victims = await pods();
    await load.countGaps();
    for (const { metadata } of victims) {
      await evict(scenario, metadata.name);
      await scenario.rolledOut(brokers);
    }
    await load.moves();
    await load.tellGaps('two evictions');
    await load.stopAndCheck();
  });

  it('keep every record with nobody there', async () => {
    const load = await startLoad('kept');
    const outcome = await load.stopAndCheck();
    await ofDeployment('scale', '--replicas=0');
    await eventually('no broker is left', async () => (await pods()).length === 0, 240_000);
    await ofDeployment('scale', '--replicas=2');
    await scenario.rolledOut(brokers);
    await load.check(outcome);
  });

  it('serve a client that is not in the cluster, by load balancer', async () => {
    const name = 'outside';
    const balanced = service(scenario.place(name), { kafka: 9092 }, { type: 'LoadBalancer', labels: selectorLabels });
    await scenario.apply(balanced);
    const advertisedHost = await scenario.loadBalancerAddress(name);
    await apply({ replicas: 1, advertisedHost, advertisedPort: 9092 });
    await eventually('one broker is left', async () => (await pods()).length === 1, 240_000);
    const program = `
      const { Kafka } = require('kafkajs');
      const kafka = new Kafka({ brokers: ['${advertisedHost}:9092'], retry: { retries: 20 } });
      const producer = kafka.producer();
      producer.connect()
        .then(() => producer.send({ topic: '${topic}', messages: [{ partition: 0, value: 'outside 0 0' }] }))
        .then(([{ errorCode }]) => console.log('acknowledged', errorCode))
        .then(() => producer.disconnect());`;
    expect(await runOutside(process.execPath, ['--eval', program])).toContain('acknowledged 0');
  });
});

const selectorLabels = Object.fromEntries(
  brokerSelector.split(',').map((label) => label.split('=') as [string, string]),
);
