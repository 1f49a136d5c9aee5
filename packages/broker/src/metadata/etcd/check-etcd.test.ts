import { brokerConfigSchema } from '@kafscale/protocol';
import { cryptoRandom, systemClock } from '@kafscale/runtime';
import { freePort } from '@kafscale/testkit';
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { RangeResponse, StatusResponse, TxnResponse } from './generated/etcd/etcd.ts';
import { etcdMethods } from './methods.ts';
import { openEtcd } from './open-etcd.ts';

const header = { clusterId: 1n, memberId: 1n, revision: 1n };
const pass = (bytes: Buffer) => bytes;
const answering = ({ path }: { readonly path: string }, answer: Uint8Array) => ({
  definition: {
    [path]: {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: pass,
      requestDeserialize: pass,
      responseSerialize: pass,
      responseDeserialize: pass,
    },
  },
  handlers: { [path]: (_: unknown, reply: sendUnaryData<Buffer>) => reply(null, Buffer.from(answer)) },
});

/** Says that it is etcd of this version, and nothing else of note. */
async function pretendEtcd(version: string): Promise<{ readonly port: number; close(): void }> {
  const server = new Server();
  const status = { header, version, dbSize: 0n, dbSizeInUse: 0n, dbSizeQuota: 0n };
  for (const { definition, handlers } of [
    answering(etcdMethods.range, RangeResponse.encode({ header, kvs: [], more: false }).finish()),
    answering(etcdMethods.status, StatusResponse.encode(status).finish()),
    answering(etcdMethods.txn, TxnResponse.encode({ header, succeeded: false, responses: [] }).finish()),
  ]) {
    server.addService(definition, handlers);
  }
  const port = await freePort();
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  return { port, close: () => server.forceShutdown() };
}

describe('the check of etcd', () => {
  it.each([
    ['3.3.27', 'etcd 3.3.27 is too old: 3.4 or newer is needed'],
    ['2.3.8', 'etcd 2.3.8 is too old: 3.4 or newer is needed'],
    ['3.4.0', 'opened'],
    ['3.10.1', 'opened'],
    ['4.0.0', 'opened'],
  ])('of version %s: %s', async (version, expected) => {
    const etcd = await pretendEtcd(version);
    const config = { ...brokerConfigSchema.parse({}), etcdEndpoints: [`127.0.0.1:${etcd.port}`] };
    const outcome = await openEtcd(config, { clock: systemClock, random: cryptoRandom }).then(
      async (store) => {
        await store.close();
        return 'opened';
      },
      (error: unknown) => (error as Error).message,
    );
    etcd.close();
    expect(outcome).toBe(expected);
  });
});
