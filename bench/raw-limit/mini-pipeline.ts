/**
 * The produce path with everything left out that a broker has to be: receive into slabs, find the batch, check its CRC, stamp its
 * offset, group, write durably, acknowledge. What one process can do at most with these steps on this machine and disk. It takes
 * well-formed Produce v9 requests with one topic, one partition and one batch each, and knows nothing else.
 *
 * Run as a process of its own: `mini-pipeline.ts <folder>` prints the port it listens on.
 */
import { crc32c } from '@kafscale/protocol';
import { closeSync, constants, fdatasync, fsync, mkdirSync, open, openSync, writev, close } from 'node:fs';
import { createServer, Socket, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const slabBytes = 4 * 1024 * 1024;
const roomToGoOn = 64 * 1024;
const groupBytes = 4 * 1024 * 1024;
const groupMs = 5;
const writesInFlight = 8;
const slicesPerWrite = 1024;

const [openFile, writeSlices, syncData, syncFolder, closeFile] = [open, writev, fdatasync, fsync, close].map((call) =>
  promisify(call as (...args: never[]) => void),
) as unknown as [
  (path: string, flags: number) => Promise<number>,
  (file: number, slices: readonly Uint8Array[]) => Promise<number>,
  (file: number) => Promise<void>,
  (file: number) => Promise<void>,
  (file: number) => Promise<void>,
];

/** Recycled memory: back in the pool when nobody refers to it. */
class PooledSlab {
  static readonly #free: PooledSlab[] = [];
  readonly bytes = Buffer.allocUnsafeSlow(slabBytes);
  #references = 0;

  static take(): PooledSlab {
    return this.#free.pop() ?? new PooledSlab();
  }

  retain(): void {
    this.#references += 1;
  }

  release(): void {
    this.#references -= 1;
    if (this.#references === 0) PooledSlab.#free.push(this);
  }
}

interface Pending {
  readonly batch: Buffer;
  readonly slab: PooledSlab;
  readonly socket: Socket;
  readonly answer: Buffer;
}

const folder = process.argv[2]!;
mkdirSync(folder, { recursive: true });
const folderHandle = openSync(folder, 'r');
let group: Pending[] = [];
let grouped = 0;
let timer: NodeJS.Timeout | undefined;
let writing = 0;
let nextFile = 0;
let nextOffset = 0n;

function add(pending: Pending): void {
  group.push(pending);
  grouped += pending.batch.length;
  if (grouped >= groupBytes) flush();
  else timer ??= setTimeout(flush, groupMs);
}

function flush(): void {
  clearTimeout(timer);
  timer = undefined;
  if (group.length === 0 || writing === writesInFlight) return;
  const closed = group;
  group = [];
  grouped = 0;
  writing += 1;
  void store(closed.map(({ batch }) => batch)).then(() => {
    writing -= 1;
    const sockets = new Set(closed.map(({ socket }) => socket));
    for (const socket of sockets) socket.cork();
    for (const { socket, answer } of closed) socket.write(answer);
    for (const socket of sockets) socket.uncork();
    for (const { slab } of closed) slab.release();
    if (grouped >= groupBytes || (timer === undefined && group.length > 0)) flush();
  });
}

/** A new file that is there after a power loss, as an object of the folder store is. */
async function store(slices: readonly Uint8Array[]): Promise<void> {
  nextFile += 1;
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY;
  const file = await openFile(join(folder, String(nextFile)), flags);
  for (let at = 0; at < slices.length; at += slicesPerWrite) {
    await writeSlices(file, slices.slice(at, at + slicesPerWrite));
  }
  await syncData(file);
  await closeFile(file);
  await syncFolder(folderHandle);
}

function readVarint(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at];
  }
}

/** The frame of a Produce v9 request, its length left out. */
function handle(frame: Buffer, slab: PooledSlab, socket: Socket): void {
  const correlationId = frame.readInt32BE(4);
  let at = 10 + Math.max(0, frame.readInt16BE(8)); // client id
  at += 1 + 1 + 2 + 4; // tags, transactional id, acks, timeout
  at += 1; // one topic
  const [nameLength, nameStart] = readVarint(frame, at);
  const name = frame.subarray(nameStart, nameStart + nameLength - 1);
  at = nameStart + nameLength - 1 + 1; // one partition
  const partition = frame.readInt32BE(at);
  const [length, start] = readVarint(frame, at + 4);
  const batch = frame.subarray(start, start + length - 1);
  if (crc32c(batch, 21) !== batch.readUInt32BE(17)) throw new Error('a damaged batch');
  batch.writeBigInt64BE(nextOffset, 0);
  slab.retain();
  add({ batch, slab, socket, answer: answerTo(correlationId, name, partition, nextOffset) });
  nextOffset += BigInt(batch.readInt32BE(23) + 1);
}

function answerTo(correlationId: number, name: Buffer, partition: number, baseOffset: bigint): Buffer {
  const answer = Buffer.alloc(51 + name.length);
  answer.writeInt32BE(answer.length - 4, 0);
  answer.writeInt32BE(correlationId, 4);
  answer[9] = 2; // one topic; the byte before it is the header's empty tags
  answer[10] = name.length + 1;
  name.copy(answer, 11);
  const at = 11 + name.length;
  answer[at] = 2; // one partition
  answer.writeInt32BE(partition, at + 1);
  answer.writeBigInt64BE(baseOffset, at + 7); // behind the error code, 0
  answer.writeBigInt64BE(-1n, at + 15);
  answer.writeBigInt64BE(0n, at + 23);
  answer[at + 31] = 1; // no record errors; no message, no tags, throttle time 0, no tags follow
  return answer;
}

/** `onread` into slabs, frames cut in place; only a part of a frame is copied, when its slab is full. */
function serve(accepted: Socket): void {
  const internals = accepted as unknown as { _handle: { reading: boolean } | null };
  const handleOfSocket = internals._handle!;
  internals._handle = null;
  handleOfSocket.reading = false;
  accepted.destroy();
  let slab = PooledSlab.take();
  slab.retain();
  let [start, end] = [0, 0];
  const takeFrames = (): void => {
    while (end - start >= 4) {
      const length = slab.bytes.readInt32BE(start);
      if (end - start < 4 + length) break;
      handle(slab.bytes.subarray(start + 4, start + 4 + length), slab, socket);
      start += 4 + length;
    }
    const needed = end - start >= 4 ? 4 + slab.bytes.readInt32BE(start) : 0;
    if (slabBytes - end >= roomToGoOn && start + needed <= slabBytes) return;
    const next = PooledSlab.take();
    next.retain();
    slab.bytes.copy(next.bytes, 0, start, end);
    [start, end] = [0, end - start];
    slab.release();
    slab = next;
  };
  const onread = {
    buffer: () => slab.bytes.subarray(end),
    callback: (length: number) => {
      end += length;
      takeFrames();
      return true;
    },
  };
  const options: object = { handle: handleOfSocket, readable: true, writable: true, onread };
  const socket = new Socket(options);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.resume();
}

const server = createServer({ pauseOnConnect: true }, serve);
server.listen(0, '127.0.0.1', () => console.log(`ready on 127.0.0.1:${(server.address() as AddressInfo).port}`));
process.on('SIGTERM', () => {
  closeSync(folderHandle);
  process.exit(0);
});
