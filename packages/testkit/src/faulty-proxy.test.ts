import { createServer, connect, type Server, type Socket } from 'node:net';
import { eventually } from './eventually.ts';
import { FaultyProxy } from './faulty-proxy.ts';

describe('a faulty proxy', () => {
  let server: Server;
  let proxy: FaultyProxy;
  let client: Socket;
  let seen = { atServer: '', atClient: '', serverEnded: false, clientEnded: false };

  beforeEach(async () => {
    const mine = { atServer: '', atClient: '', serverEnded: false, clientEnded: false };
    seen = mine;
    server = createServer((socket) => {
      socket.on('data', (bytes) => {
        mine.atServer += bytes.toString();
        socket.write(bytes.toString().toUpperCase());
      });
      socket.on('error', () => undefined).on('close', () => (mine.serverEnded = true));
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    proxy = await FaultyProxy.start({ port });
    client = connect(proxy.port, '127.0.0.1');
    client.on('data', (bytes) => (mine.atClient += bytes.toString()));
    client.on('error', () => undefined).on('close', () => (mine.clientEnded = true));
  });
  afterEach(async () => {
    client.destroy();
    await proxy.close();
    server.close();
  });

  const came = (what: string, condition: () => boolean) => eventually(what, condition, 5_000);

  it('hands on what comes, and the end', async () => {
    client.write('hello');
    await came('the echo', () => seen.atClient === 'HELLO');
    client.end();
    await came('the end', () => seen.serverEnded);
  });

  it('lets a request pass and holds its answer until it may pass too', async () => {
    proxy.hold('toClient');
    client.write('one');
    await came('the held answer', () => proxy.heldBytes('toClient') === 3);
    expect([seen.atServer, seen.atClient]).toEqual(['one', '']);
    proxy.pass('toClient');
    await came('the answer', () => seen.atClient === 'ONE');
  });

  it('delivers a request after its sender has gone, and nothing of what followed it', async () => {
    proxy.hold('toServer');
    client.write('late');
    await came('the held request', () => proxy.heldBytes('toServer') === 4);
    proxy.drop('toServer');
    client.write('cancel');
    client.destroy();
    await came('the end of the client', () => seen.clientEnded && proxy.receivedBytes('toServer') === 10);
    proxy.deliverHeld('toServer');
    await came('the late request', () => seen.atServer === 'late');
    expect(seen.serverEnded).toBe(false);
  });

  it('swallows what goes one way without a sign', async () => {
    proxy.drop('toServer');
    client.write('lost');
    await came('the lost bytes', () => proxy.receivedBytes('toServer') === 4);
    proxy.heal();
    client.write('here');
    await came('the echo', () => seen.atClient === 'HERE');
    expect(seen.atServer).toBe('here');
  });

  it('resets both sides, and refuses new connections when told', async () => {
    client.write('x');
    await came('the echo', () => seen.atClient === 'X');
    proxy.refuse();
    proxy.reset();
    await came('both ends', () => seen.serverEnded && seen.clientEnded);
    const second = connect(proxy.port, '127.0.0.1');
    await new Promise((resolve) => second.on('error', () => undefined).on('close', resolve));
    expect(proxy.connections).toBe(0);
  });
});
