import { seededRandom } from '@kafscale/runtime';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { adoptSocket, copyFromEvents, type ByteSink } from './adopt-socket.ts';

/** Keeps what arrives, in buffers of a size that does not fit the reads, and stops after every so many bytes. */
class KeepingSink implements ByteSink {
  readonly #parts: Buffer[] = [];
  readonly #stopEvery: number;
  #current = Buffer.alloc(0);
  #sinceStop = 0;
  onStop: () => void = () => undefined;

  constructor(stopEvery: number) {
    this.#stopEvery = stopEvery;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  nextBuffer(): Buffer {
    this.#current = Buffer.alloc(1_000);
    return this.#current;
  }

  received(length: number): boolean {
    this.#parts.push(this.#current.subarray(0, length));
    this.#sinceStop += length;
    if (this.#sinceStop < this.#stopEvery) return true;
    this.#sinceStop = 0;
    setImmediate(() => this.onStop());
    return false;
  }
}

describe.each([
  ['a socket whose handle was adopted', adoptSocket],
  ['a socket read through its events', copyFromEvents],
])('%s', (_name, attach) => {
  const sent = seededRandom(1).bytes(300_000);

  /** A client that sends everything and ends; the server's side of it, attached to `sink`. */
  async function receiveAll(sink: KeepingSink, answer: Buffer): Promise<Buffer> {
    const server = createServer({ pauseOnConnect: true });
    const attached = new Promise<Socket>((resolve) => {
      server.on('connection', (accepted) => {
        const socket = attach(accepted, sink);
        sink.onStop = () => socket.resume();
        socket.resume();
        resolve(socket);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const answered: Buffer[] = [];
    client.on('data', (chunk: Buffer) => answered.push(chunk));
    client.end(sent);
    const socket = await attached;
    socket.write(answer);
    await Promise.all([once(socket, 'close'), once(client, 'close')]);
    await new Promise((resolve) => server.close(resolve));
    return Buffer.concat(answered);
  }

  it('gives every byte to the sink, in order, sends what is written, and ends', async () => {
    const sink = new KeepingSink(Infinity);
    expect(await receiveAll(sink, Buffer.from('answer'))).toEqual(Buffer.from('answer'));
    expect(sink.bytes.equals(sent)).toBe(true);
  });

  it('loses nothing when the sink stops the reading again and again', async () => {
    const sink = new KeepingSink(2_500);
    await receiveAll(sink, Buffer.from('answer'));
    expect(sink.bytes.equals(sent)).toBe(true);
  });
});
