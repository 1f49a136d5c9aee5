/**
 * The control port: gRPC calls in, answers and gRPC statuses out. It serves whichever life the broker is in, none included. What the
 * calls do is broker-control.ts's and assignment-feed.ts's business, who may call is admission.ts's.
 */
import {
  experimental,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import {
  unreachable,
  type AssignmentUpdate,
  type BrokerStatus,
  type DrainPartitionsRequest,
  type ListenAddress,
  type SetCordonRequest,
  type TriggerFlushRequest,
  type WatchAssignmentsRequest,
} from '@kafscale/protocol';
import { settlesWithin, type Clock, type Logger } from '@kafscale/runtime';
import { readFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server as TcpServer, type Socket } from 'node:net';
import { MetadataError } from '../metadata/metadata-error.ts';
import { admission } from './admission.ts';
import { AssignmentFeed, type AssignmentWatcher } from './assignment-feed.ts';
import type { BrokerControl } from './broker-control.ts';
import { loadControlApi } from './control-api.ts';
import { ControlError } from './control-error.ts';
import type { TokenFile } from './token-file.ts';

export interface ControlServerDependencies {
  readonly address: ListenAddress;
  /** Absent where client certificates are asked for. */
  readonly token?: TokenFile | undefined;
  readonly tls?: ControlTls | undefined;
  /** The life the broker is in; undefined between two. */
  readonly current: () => BrokerControl | undefined;
  /** What `/readyz` says. */
  readonly isReady: () => boolean;
  readonly version: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ControlTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Given, every client needs a certificate that it signs. */
  readonly clientCaFile?: string | undefined;
}

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const options = {
  // Room for some ten thousand names of partitions, and for the status of a hundred thousand.
  'grpc.max_receive_message_length': 1 * MiB,
  'grpc.max_send_message_length': 64 * MiB,
  'grpc.max_metadata_size': 16 * KiB,
  'grpc.max_concurrent_streams': 64,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
} as const;
const maxConnections = 64;
const defaultCallLimit = 32;
const callLimits = { DrainPartitions: 8, WatchAssignments: 16 } as const;
const certificateRefreshMs = 30_000;
/** Open streams would be waited for for ever. */
const closeLimitMs = 2_000;

export class ControlServer {
  readonly #dependencies: ControlServerDependencies;
  readonly #server: Server;
  readonly #listener: TcpServer;
  readonly #sockets = new Set<Socket>();
  readonly #streams = new Set<(error: ControlError) => void>();
  #port = 0;
  #feed: { readonly control: BrokerControl; readonly assignments: AssignmentFeed } | undefined;

  private constructor(dependencies: ControlServerDependencies) {
    const { token, logger } = dependencies;
    this.#dependencies = dependencies;
    const onRefused = (peer: string) =>
      logger.warn({ peer }, 'a call of the control API was refused: wrong or no token');
    const interceptor = admission({ token, limits: callLimits, defaultLimit: defaultCallLimit, onRefused });
    this.#server = new Server({ ...options, interceptors: [interceptor] });
    this.#listener = createServer();
    this.#listener.maxConnections = maxConnections;
  }

  /** Listens; rejects with the system's error when the address or a file cannot be had. */
  static async start(dependencies: ControlServerDependencies): Promise<ControlServer> {
    const server = new ControlServer(dependencies);
    await server.#start();
    return server;
  }

  /** The port that is listened on, also where port 0 was asked for. */
  get port(): number {
    return this.#port;
  }

  /** The life that its calls and streams were of is over. */
  lifeEnded(): void {
    for (const end of [...this.#streams]) end(betweenLives());
    this.#feed = undefined;
  }

  async close(): Promise<void> {
    this.#listener.close();
    for (const end of [...this.#streams]) end(new ControlError('unavailable', 'the broker is about to stop'));
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await settlesWithin(this.#dependencies.clock, closeLimitMs, closed);
    this.#server.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #start(): Promise<void> {
    const { address, tls } = this.#dependencies;
    const { brokerControl, assignmentStream } = loadControlApi();
    this.#server.addService(brokerControl, {
      GetStatus: this.#unary((control) => Promise.resolve(this.#status(control))),
      SetCordon: this.#unary(async (control, request: SetCordonRequest) => {
        await control.setCordon(request);
        return this.#status(control);
      }),
      DrainPartitions: this.#unary((control, request: DrainPartitionsRequest, signal) =>
        control.drainPartitions(request, signal),
      ),
      TriggerFlush: this.#unary((control, request: TriggerFlushRequest, signal) =>
        control.triggerFlush(request, signal),
      ),
    });
    this.#server.addService(assignmentStream, {
      WatchAssignments: (stream: ServerWritableStream<WatchAssignmentsRequest, AssignmentUpdate>) =>
        this.#watch(stream),
    });
    const credentials = tls === undefined ? ServerCredentials.createInsecure() : await tlsCredentials(tls);
    const injector = this.#server.createConnectionInjector(credentials);
    this.#listener.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined); // an end like any other
      injector.injectConnection(socket);
    });
    this.#port = await listen(this.#listener, address);
  }

  #status(control: BrokerControl): BrokerStatus {
    const { version, isReady } = this.#dependencies;
    return control.status({ version, ready: isReady() });
  }

  #control(): BrokerControl {
    const control = this.#dependencies.current();
    if (control === undefined) throw betweenLives();
    return control;
  }

  #unary<Request, Response>(
    handle: (control: BrokerControl, request: Request, signal: AbortSignal) => Promise<Response>,
  ) {
    return (call: ServerUnaryCall<Request, Response>, answer: sendUnaryData<Response>): void => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort(new Error('nobody waits for the answer any more')));
      const handled = (async () => handle(this.#control(), call.request, gone.signal))();
      handled.then(
        (response) => answer(null, response),
        (error: unknown) => answer(this.#statusOf(error)),
      );
    };
  }

  #watch(stream: ServerWritableStream<WatchAssignmentsRequest, AssignmentUpdate>): void {
    let watcher: AssignmentWatcher | undefined;
    let isFull = false;
    const end = (error: unknown) => {
      if (!this.#streams.delete(end)) return;
      watcher?.close();
      stream.emit('error', this.#statusOf(error));
    };
    const pump = () => {
      while (!isFull && watcher !== undefined && this.#streams.has(end)) {
        if (watcher.isBehind) {
          end(new ControlError('exhausted', 'changes come faster than they are taken; watch again'));
          return;
        }
        const update = watcher.next();
        if (update === undefined) return;
        isFull = !stream.write(update);
      }
      // One that takes nothing at all is told as well.
      if (watcher?.isBehind === true)
        end(new ControlError('exhausted', 'changes come faster than they are taken; watch again'));
    };
    this.#streams.add(end);
    stream.on('drain', () => {
      isFull = false;
      pump();
    });
    stream.on('cancelled', () => {
      if (this.#streams.delete(end)) watcher?.close();
    });
    try {
      watcher = this.#assignments().watch(stream.request.brokerId, pump);
      pump();
    } catch (error) {
      end(error);
    }
  }

  #assignments(): AssignmentFeed {
    const control = this.#control();
    if (this.#feed?.control !== control) this.#feed = { control, assignments: new AssignmentFeed(control.image) };
    return this.#feed.assignments;
  }

  #statusOf(error: unknown): { readonly code: status; readonly details: string } {
    if (error instanceof ControlError) return { code: codeOf(error), details: error.message };
    if (error instanceof MetadataError) {
      return { code: status.UNAVAILABLE, details: `the metadata store did not take it: ${error.kind}` };
    }
    this.#dependencies.logger.error({ err: error }, 'a call of the control API failed');
    return { code: status.INTERNAL, details: 'the call failed; the log of the broker says why' };
  }
}

const betweenLives = () =>
  new ControlError('unavailable', 'the broker starts, or its session was lost and it starts again');

function codeOf({ kind }: ControlError): status {
  switch (kind) {
    case 'invalid':
      return status.INVALID_ARGUMENT;
    case 'exhausted':
      return status.RESOURCE_EXHAUSTED;
    case 'not-possible':
      return status.FAILED_PRECONDITION;
    case 'late':
      return status.DEADLINE_EXCEEDED;
    case 'unavailable':
      return status.UNAVAILABLE;
    default:
      return unreachable(kind);
  }
}

/** Certificates are read again when their files change; that they can be read at all is found out here. */
async function tlsCredentials({ certFile, keyFile, clientCaFile }: ControlTls): Promise<ServerCredentials> {
  await Promise.all(
    [certFile, keyFile, clientCaFile].filter((path) => path !== undefined).map((path) => readFile(path)),
  );
  const provider = new experimental.FileWatcherCertificateProvider({
    ...{ certificateFile: certFile, privateKeyFile: keyFile, caCertificateFile: clientCaFile },
    refreshIntervalMs: certificateRefreshMs,
  });
  const asksClients = clientCaFile !== undefined;
  return experimental.createCertificateProviderServerCredentials(provider, asksClients ? provider : null, asksClients);
}

/** Resolves with the port. */
function listen(server: TcpServer, { host, port }: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
