/**
 * Brokers as pods, made by hand: what the operator will build on. The image runs without rights on a read-only file system, clients
 * inside and outside reach each broker, and a pod that is deleted under load hands over what it leads.
 */
import { s3Request } from '@kafscale/testkit';
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { images } from '../images.ts';
import { deployment, nodeProgram, service } from '../manifests.ts';
import { eventually, Scenario, type PodStatus } from '../scenario.ts';

const bucket = 'records';
const region = 'us-east-1';
const accessKey = 'kafscale';
const secretKey = 'kafscale-secret';
const topic = 'orders';
const drainSeconds = 60;

describe('brokers in pods', () => {
  let scenario: Scenario;
  let bootstrap: string;
  const clusterIp = async (name: string): Promise<string> => {
    const found = await scenario.kubectl.get<{ readonly spec: { readonly clusterIP: string } }>(
      'service',
      name,
      scenario.namespace,
    );
    return found.spec.clusterIP;
  };

  beforeAll(async () => {
    scenario = await Scenario.begin('e2e-broker');
    const etcdUrl = 'http://0.0.0.0:2379';
    await scenario.apply(
      deployment(scenario.place('etcd'), 1, {
        image: images.etcd,
        args: ['--data-dir=/data/etcd', `--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
        folders: ['/data'],
        ready: { path: '/health', port: 2379 },
      }),
      service(scenario.place('etcd'), { client: 2379 }),
      deployment(scenario.place('minio'), 1, {
        image: images.minio,
        env: { MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
        folders: ['/data', '/tmp'],
        ready: { path: '/minio/health/ready', port: 9000 },
      }),
      service(scenario.place('minio'), { s3: 9000 }),
    );
    await Promise.all([scenario.rolledOut('etcd'), scenario.rolledOut('minio')]);
    const endpoint = `http://${await clusterIp('minio')}:9000`;
    const made = await s3Request({ endpoint, region, accessKey, secretKey }, { method: 'PUT', path: bucket });
    expect(made.status).toBe(200);
    await scenario.apply(
      deployment(scenario.place('broker'), 2, {
        image: images.kafscale,
        args: ['broker'],
        env: {
          KAFSCALE_ETCD_ENDPOINTS: `http://etcd.${scenario.namespace}.svc:2379`,
          KAFSCALE_S3_ENDPOINT: `http://minio.${scenario.namespace}.svc:9000`,
          KAFSCALE_S3_BUCKET: bucket,
          KAFSCALE_S3_REGION: region,
          KAFSCALE_S3_ACCESS_KEY: accessKey,
          KAFSCALE_S3_SECRET_KEY: secretKey,
          KAFSCALE_LOG_FORMAT: 'json',
          KAFSCALE_FLUSH_INTERVAL_MS: '50',
        },
        podFields: { POD_IP: 'status.podIP', POD_NAMESPACE: 'metadata.namespace' },
        folders: ['/tmp'],
        ports: { kafka: 9092, metrics: 9093 },
        ready: { path: '/readyz', port: 9093 },
        graceSeconds: drainSeconds,
      }),
      service(scenario.place('broker'), { kafka: 9092 }),
    );
    await scenario.rolledOut('broker');
    bootstrap = `${await clusterIp('broker')}:9092`;
  });
  afterAll(() => scenario.end());

  const client = (): Kafka =>
    new Kafka({ clientId: 'e2e', brokers: [bootstrap], logLevel: logLevel.ERROR, retry: { retries: 20 } });

  const produce = (producer: Producer, from: number, count: number) =>
    producer.send({
      topic,
      acks: -1,
      messages: Array.from({ length: count }, (_, index) => ({ value: String(from + index) })),
    });

  /** Every distinct value that is in the topic, once `count` of them were seen. */
  const consume = async (count: number): Promise<Set<string>> => {
    const consumer = client().consumer({ groupId: `reader-${count}` });
    const seen = new Set<string>();
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void seen.add(message.value!.toString()) });
    await eventually(`${count} records are read`, async () => seen.size >= count, 60_000).catch(() => undefined);
    await consumer.disconnect();
    return seen;
  };

  it('give back what a client of the node produced', async () => {
    const admin = client().admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: true });
    await admin.disconnect();
    const producer = client().producer();
    await producer.connect();
    await produce(producer, 0, 1_000);
    await producer.disconnect();
    expect((await consume(1_000)).size).toBe(1_000);
  });

  it('serve a client in another pod by the name of the Service', async () => {
    const program = `
      const { Kafka } = require('/kafscale/node_modules/kafkajs');
      const admin = new Kafka({ brokers: ['broker.${scenario.namespace}.svc:9092'] }).admin();
      admin.connect().then(() => admin.fetchTopicOffsets('${topic}')).then((offsets) => {
        console.log(offsets.reduce((sum, { high }) => sum + Number(high), 0));
        return admin.disconnect();
      });`;
    expect((await scenario.ask('offsets', nodeProgram(program))).trim()).toBe('1000');
  });

  it('hand over and end in time when their pod is deleted under load', async () => {
    const producer = client().producer({ idempotent: true });
    await producer.connect();
    let sent = 1_000;
    const stopped = new AbortController();
    const load = (async () => {
      while (!stopped.signal.aborted) {
        await produce(producer, sent, 20);
        sent += 20;
      }
    })();
    const [victim] = await scenario.pods('broker');
    const { name } = victim!.metadata;
    const logs = scenario.kubectl.run(['logs', '--follow', `pod/${name}`, '-n', scenario.namespace]);
    await scenario.kubectl.run(['delete', 'pod', name, '-n', scenario.namespace, `--timeout=${drainSeconds}s`]);
    await scenario.rolledOut('broker');
    stopped.abort();
    await load;
    await producer.disconnect();
    expect(await logs).toContain('"msg":"stopped"');
    expect((await consume(sent)).size).toBe(sent);
    const restarts = (pod: PodStatus): number => pod.status.containerStatuses?.[0]?.restartCount ?? 0;
    expect((await scenario.pods('broker')).map(restarts)).toEqual([0, 0]);
  });
});
