/** For tests of the control client: a control port that answers as the test says and keeps what it was asked. */
import {
  Server,
  ServerCredentials,
  type Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type status,
} from '@grpc/grpc-js';
import { loadControlApi } from './control-api.ts';

export interface StubCall {
  readonly method: string;
  readonly request: unknown;
  readonly metadata: Metadata;
}

/** `hang` answers never. */
export type StubAnswer = { readonly response: unknown } | { readonly code: status } | 'hang';

export class StubBroker {
  readonly calls: StubCall[] = [];
  readonly address: string;
  answer: (call: StubCall) => StubAnswer = () => ({ response: {} });
  onWatch: (stream: ServerWritableStream<unknown, unknown>) => void = () => undefined;
  /** Calls that the client gave up. */
  cancelled = 0;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  static async start(): Promise<StubBroker> {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    const stub = new StubBroker(server, port);
    const { brokerControl, assignmentStream } = loadControlApi();
    const unary = (method: string) => (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
      const asked = { method, request: call.request, metadata: call.metadata };
      stub.calls.push(asked);
      call.on('cancelled', () => (stub.cancelled += 1));
      const given = stub.answer(asked);
      if (given === 'hang') return;
      if ('code' in given) answer({ code: given.code, details: 'as told' });
      else answer(null, given.response);
    };
    const methods = ['GetStatus', 'SetCordon', 'DrainPartitions', 'TriggerFlush'];
    server.addService(brokerControl, Object.fromEntries(methods.map((method) => [method, unary(method)])));
    server.addService(assignmentStream, {
      WatchAssignments: (stream: ServerWritableStream<unknown, unknown>) => {
        stub.calls.push({ method: 'WatchAssignments', request: stream.request, metadata: stream.metadata });
        stream.on('cancelled', () => (stub.cancelled += 1));
        stub.onWatch(stream);
      },
    });
    return stub;
  }

  close(): void {
    this.#server.forceShutdown();
  }
}
