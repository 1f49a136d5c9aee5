/**
 * How bytes come out of an accepted socket without a fresh buffer per read: `onread` with memory of our own. Node offers it only
 * for sockets one opens, so the handle of the accepted socket moves to a new one. This is the only file that touches Node's
 * internals; where they look different, the bytes are copied out of 'data' events instead.
 */
import { Socket } from 'node:net';

export interface ByteSink {
  /** Where the next bytes go; never empty, and read into until `received` was called for it. */
  nextBuffer(): Buffer;
  /** So many bytes lie at the start of that buffer. False stops the reading until `resume`. */
  received(length: number): boolean;
}

/** The part of a libuv stream handle that is used here. */
interface StreamHandle {
  reading: boolean;
  readonly writeQueueSize?: number;
}

interface SocketInternals {
  _handle?: StreamHandle | null;
}

/**
 * The socket to use from now on; the given one must be paused (`pauseOnConnect`) and is not to be touched any more. Reading starts
 * with `socket.resume()`.
 */
export function adoptSocket(accepted: Socket, sink: ByteSink): Socket {
  const internals = accepted as unknown as SocketInternals;
  const handle = internals._handle;
  if (handle === undefined || handle === null || typeof handle.reading !== 'boolean')
    return copyFromEvents(accepted, sink);

  internals._handle = null;
  handle.reading = false;
  accepted.destroy();
  const onread = {
    buffer: () => sink.nextBuffer(),
    callback: (length: number) => sink.received(length),
  };
  // `handle` and `onread` together are accepted by the constructor, though its types name neither.
  return new Socket({ handle, readable: true, writable: true, onread } as unknown as ConstructorParameters<
    typeof Socket
  >[0]);
}

/** The road through the public interface: one more copy per byte, otherwise the same. */
export function copyFromEvents(socket: Socket, sink: ByteSink): Socket {
  socket.on('data', (chunk: Buffer) => {
    let goOn = true;
    for (let position = 0; position < chunk.length && !socket.destroyed;) {
      const target = sink.nextBuffer();
      const copied = chunk.copy(target, 0, position);
      position += copied;
      goOn = sink.received(copied);
    }
    if (!goOn) socket.pause();
  });
  return socket;
}

/** Bytes given to the system that the kernel has not taken yet; where that cannot be told, all bytes that are not sent. */
export function kernelBacklogBytes(socket: Socket): number {
  return (socket as unknown as SocketInternals)._handle?.writeQueueSize ?? socket.writableLength;
}
