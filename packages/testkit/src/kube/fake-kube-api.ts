/**
 * A Kubernetes API server in this process, for tests of what talks to one: real HTTP (1.1 and 2, without TLS), real watch streams,
 * and faults on order. It has no schemas, no controllers but the collection of dependents, and merges lists by a table of names; what
 * depends on more than that is proved on a real server.
 */
import { once } from 'node:events';
import { createServer as createHttp1, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { createServer as createTcp, type AddressInfo, type Socket } from 'node:net';
import { builtInKinds, without, type FakeKind, type FakeObject } from './fake-kinds.ts';
import { ApiFailure, FakeKubeStore, type StoreEvent } from './fake-kube-store.ts';
import { jsonPatched, mergePatched } from './json-patches.ts';
import { matchesFields, matchesLabels } from './selectors.ts';

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

/** RBAC's verbs. */
export type ApiVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

/** A request as it came. */
export interface RecordedRequest {
  readonly verb: ApiVerb;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly contentType: string;
  /** Kind of the object; empty for paths that are none. */
  readonly kind: string;
  readonly plural: string;
  readonly group: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string;
  readonly body: unknown;
  readonly dryRun: boolean;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/**
 * - `status`: refused with this status.
 * - `reset`: the connection breaks before anything is done; `reset-after`: when it is done and before it is answered.
 * - `hang`: never answered.
 * - `delay`: answered later.
 */
export type Fault =
  | {
      readonly do: 'status';
      readonly status: number;
      readonly reason: string;
      readonly message?: string;
      readonly retryAfterSeconds?: number;
    }
  | { readonly do: 'reset' | 'reset-after' | 'hang' }
  | { readonly do: 'delay'; readonly delayMs: number };

interface PlannedFault {
  readonly when: (request: RecordedRequest) => boolean;
  readonly fault: Fault;
  left: number;
}

interface Watcher {
  readonly kind: FakeKind;
  readonly namespace: string | undefined;
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly bookmarks: boolean;
  readonly response: Response;
  silent: boolean;
}

export interface FakeKubeApiSettings {
  /** Kinds beside the built-in ones, or in place of those with the same name. */
  readonly kinds?: readonly FakeKind[];
  /** Settle for a fixed port. */
  readonly port?: number;
}

interface Target {
  readonly kind: FakeKind;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string;
}

export class FakeKubeApi {
  readonly store = new FakeKubeStore();
  /** Every request so far; clear it with `requests.length = 0`. */
  readonly requests: RecordedRequest[] = [];
  /** What is allowed; everything unless set. What is not is answered 403. */
  authorize: (request: RecordedRequest) => boolean = () => true;
  /** Asked before an eviction; false is what a disruption budget answers. */
  allowsEviction: (pod: FakeObject) => boolean = () => true;

  readonly #kinds = new Map<string, FakeKind>();
  readonly #watchers = new Set<Watcher>();
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #faults: PlannedFault[] = [];
  readonly #tcp = createTcp((socket) => this.#accept(socket));
  readonly #http1 = createHttp1((request, response) => void this.#serve(request, response));
  readonly #http2 = createHttp2((request, response) => void this.#serve(request, response));
  /** TCP connections accepted so far. */
  connections = 0;

  private constructor(kinds: readonly FakeKind[]) {
    for (const kind of [...builtInKinds, ...kinds]) {
      this.#kinds.set(`${kind.apiVersion}/${kind.plural}`, kind);
      this.store.know(kind);
    }
    this.store.onEvent((event) => {
      for (const watcher of this.#watchers) this.#send(watcher, event);
    });
  }

  static async start({ kinds = [], port = 0 }: FakeKubeApiSettings = {}): Promise<FakeKubeApi> {
    const api = new FakeKubeApi(kinds);
    api.#tcp.listen(port, '127.0.0.1');
    await once(api.#tcp, 'listening');
    return api;
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** How a client reaches it, by HTTP/2 unless told. */
  access({ http2 = true, server = this.url }: { readonly http2?: boolean; readonly server?: string } = {}) {
    return {
      server,
      namespace: 'default',
      http2: http2 ? ('always' as const) : ('never' as const),
      tls: () => Promise.resolve({}),
      headers: () => Promise.resolve({ authorization: 'Bearer of-a-test' }),
    };
  }

  /** Requests that would have changed something, dry runs left out. */
  get writes(): readonly RecordedRequest[] {
    return this.requests.filter(({ method, dryRun }) => method !== 'GET' && !dryRun);
  }

  get openWatches(): number {
    return this.#watchers.size;
  }

  /** The kind by its name, such as `Deployment`; of several the one whose API version is named. */
  kind(name: string, apiVersion?: string): FakeKind {
    const found = [...this.#kinds.values()].find(
      (kind) => kind.kind === name && (apiVersion === undefined || kind.apiVersion === apiVersion),
    );
    if (found === undefined) throw new Error(`the fake API server knows no kind ${name}`);
    return found;
  }

  /** What a user or a controller of Kubernetes does: creates an object, its status included. */
  create(kindName: string, object: FakeObject, manager = 'kubectl'): FakeObject {
    const kind = this.kind(kindName, object.apiVersion);
    const namespace = kind.namespaced ? (object.metadata?.namespace ?? 'default') : undefined;
    const created = this.store.create(kind, namespace, object, { manager, dryRun: false });
    if (kind.status === false || object['status'] === undefined) return created;
    return this.setStatus(kindName, created.metadata!.name!, object['status'] as object, namespace);
  }

  get(kindName: string, name: string, namespace = 'default'): FakeObject | undefined {
    const kind = this.kind(kindName);
    return this.store.find(kind, kind.namespaced ? namespace : undefined, name);
  }

  list(kindName: string, namespace?: string): readonly FakeObject[] {
    return this.store.list(this.kind(kindName), namespace);
  }

  /** Changes an object in place, as another manager would. */
  update(
    kindName: string,
    name: string,
    change: (object: FakeObject) => void,
    namespace = 'default',
    manager = 'kubectl',
  ) {
    return this.#change(kindName, { name, namespace }, change, { manager, dryRun: false });
  }

  setStatus(kindName: string, name: string, status: object, namespace = 'default'): FakeObject {
    const change = (object: FakeObject) => void (object['status'] = status);
    return this.#change(kindName, { name, namespace }, change, {
      manager: 'kubelet',
      dryRun: false,
      subresource: 'status',
    });
  }

  delete(kindName: string, name: string, namespace = 'default'): void {
    const kind = this.kind(kindName);
    this.store.delete(kind, { namespace: kind.namespaced ? namespace : undefined, name }, {}, false);
  }

  /** The next `times` requests that `when` chooses fail like this. */
  inject(fault: Fault, when: (request: RecordedRequest) => boolean = () => true, times = 1): void {
    this.#faults.push({ fault, when, left: times });
  }

  clearFaults(): void {
    this.#faults = [];
  }

  /** What becomes of the open watches: their end, a broken connection, a 410 inside the stream, or silence without an end. */
  disturbWatches(how: 'end' | 'reset' | 'gone' | 'silence'): void {
    for (const watcher of [...this.#watchers]) {
      if (how === 'silence') watcher.silent = true;
      else {
        this.#watchers.delete(watcher);
        if (how === 'gone') writeLine(watcher.response, 'ERROR', goneStatus);
        if (how === 'reset') destroy(watcher.response);
        else watcher.response.end();
      }
    }
  }

  sendBookmarks(): void {
    for (const watcher of this.#watchers) {
      if (!watcher.bookmarks || watcher.silent) continue;
      const metadata = { resourceVersion: String(this.store.version) };
      writeLine(watcher.response, 'BOOKMARK', {
        apiVersion: watcher.kind.apiVersion,
        kind: watcher.kind.kind,
        metadata,
      });
    }
  }

  /** Breaks every TCP connection. */
  resetConnections(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of this.#sockets) socket.destroy();
    this.#tcp.close();
    await once(this.#tcp, 'close');
  }

  #change(
    kindName: string,
    { name, namespace }: { readonly name: string; readonly namespace: string },
    change: (object: FakeObject) => void,
    write: { readonly manager: string; readonly dryRun: boolean; readonly subresource?: string },
  ): FakeObject {
    const kind = this.kind(kindName);
    const changed = (object: FakeObject): FakeObject => {
      change(object);
      return object;
    };
    return this.store.update(kind, { name, namespace: kind.namespaced ? namespace : undefined }, changed, write);
  }

  /** The first bytes tell HTTP/2 from HTTP/1.1. */
  #accept(socket: Socket): void {
    this.connections += 1;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.once('data', (chunk) => {
      socket.pause();
      socket.unshift(chunk);
      if (chunk.subarray(0, 3).toString('latin1') === 'PRI') {
        this.#http2.emit('connection', socket); // reads what was put back by itself, and then from below the socket
      } else {
        this.#http1.emit('connection', socket);
        socket.resume();
      }
    });
  }

  async #serve(request: Request, response: Response): Promise<void> {
    response.on('error', () => undefined);
    try {
      const body = await readBody(request);
      const url = new URL(request.url ?? '/', 'http://fake');
      const query = Object.fromEntries(url.searchParams);
      const target = this.#target(url.pathname);
      const recorded = recordedRequest(request, { path: url.pathname, query, body, target });
      this.requests.push(recorded);
      const fault = this.#nextFault(recorded);
      if (fault !== undefined && !(await this.#passes(fault, response))) return;
      if (!this.authorize(recorded)) throw forbidden(recorded);
      if (url.pathname === '/version') answer(response, 200, { gitVersion: 'v1.32.0', major: '1', minor: '32' });
      else if (target === undefined) throw unknownPath();
      else if (recorded.verb === 'watch') this.#watch(target, query, response);
      else {
        const { status, object } = this.#execute(target, recorded);
        if (fault?.do === 'reset-after') destroy(response);
        else answer(response, status, object);
      }
    } catch (error) {
      if (error instanceof ApiFailure) answer(response, error.status, statusOf(error));
      else answer(response, 500, statusOf(new ApiFailure(500, 'InternalError', String(error))));
    }
  }

  #nextFault(request: RecordedRequest): Fault | undefined {
    const planned = this.#faults.find(({ when, left }) => left > 0 && when(request));
    if (planned !== undefined) planned.left -= 1;
    return planned?.fault;
  }

  /** False when the fault was the whole answer. */
  async #passes(fault: Fault, response: Response): Promise<boolean> {
    switch (fault.do) {
      case 'hang':
        return false;
      case 'reset':
        destroy(response);
        return false;
      case 'reset-after':
        return true;
      case 'delay':
        await new Promise<void>((resolve) => this.#timers.add(setTimeout(resolve, fault.delayMs).unref()));
        return true;
      case 'status': {
        const { status, reason, message = reason, retryAfterSeconds } = fault;
        if (retryAfterSeconds !== undefined) response.setHeader('retry-after', String(retryAfterSeconds));
        answer(response, status, statusOf(new ApiFailure(status, reason, message)));
        return false;
      }
    }
  }

  #target(path: string): Target | undefined {
    const steps = path
      .split('/')
      .filter((step) => step !== '')
      .map(decodeURIComponent);
    const apiVersion = steps[0] === 'api' ? steps[1] : steps[0] === 'apis' ? `${steps[1]!}/${steps[2]!}` : undefined;
    if (apiVersion === undefined) return undefined;
    const rest = steps.slice(steps[0] === 'api' ? 2 : 3);
    const inNamespace = rest[0] === 'namespaces' && rest.length > 2;
    const namespace = inNamespace ? rest[1] : undefined;
    const [plural, name, subresource = ''] = inNamespace ? rest.slice(2) : rest;
    const kind = plural === undefined ? undefined : this.#kinds.get(`${apiVersion}/${plural}`);
    return kind === undefined ? undefined : { kind, namespace, name, subresource };
  }

  #execute(target: Target, request: RecordedRequest): { readonly status: number; readonly object: object } {
    const { kind, namespace, name, subresource } = target;
    if (request.verb === 'list') return { status: 200, object: this.#list(target, request.query) };
    const write = { manager: request.query['fieldManager'] ?? 'unknown', dryRun: request.dryRun };
    const body = request.body as FakeObject;
    if (subresource === 'eviction') return { status: 201, object: this.#evict(target, request) };
    if (request.verb === 'create') return { status: 201, object: this.store.create(kind, namespace, body, write) };
    if (name === undefined) throw new ApiFailure(405, 'MethodNotAllowed', 'the server does not allow this method');
    if (subresource === 'scale') return { status: 200, object: this.#scale(target, request) };
    if (subresource !== '' && (subresource !== 'status' || kind.status === false)) {
      throw unknownPath();
    }
    const at = { namespace, name };
    switch (request.verb) {
      case 'get':
        return { status: 200, object: this.store.get(kind, namespace, name) };
      case 'update': {
        if (body.metadata?.resourceVersion === undefined && this.store.find(kind, namespace, name) === undefined) {
          return { status: 201, object: this.store.create(kind, namespace, body, write) };
        }
        return { status: 200, object: this.store.update(kind, at, () => body, { ...write, subresource }) };
      }
      case 'patch':
        return { status: 200, object: this.#patch(target, at, request) };
      case 'delete': {
        const { propagationPolicy, preconditions } = (request.body ?? {}) as {
          propagationPolicy?: string;
          preconditions?: { uid?: string; resourceVersion?: string };
        };
        return {
          status: 200,
          object: this.store.delete(kind, at, { propagation: propagationPolicy, ...preconditions }, write.dryRun),
        };
      }
      default:
        throw new ApiFailure(405, 'MethodNotAllowed', 'the server does not allow this method');
    }
  }

  #patch(
    { kind, subresource }: Target,
    at: { namespace: string | undefined; name: string },
    request: RecordedRequest,
  ): FakeObject {
    const { contentType, body, query, dryRun } = request;
    const write = { manager: query['fieldManager'] ?? 'unknown', dryRun, subresource };
    if (contentType.startsWith('application/apply-patch')) {
      return this.store.apply(kind, at, body as FakeObject, { ...write, force: query['force'] === 'true' });
    }
    const patched = contentType.startsWith('application/json-patch')
      ? (before: FakeObject) => {
          try {
            return jsonPatched(before, body as never) as FakeObject;
          } catch (error) {
            throw new ApiFailure(422, 'Invalid', String(error));
          }
        }
      : (before: FakeObject) =>
          mergePatched({ ...before, metadata: { ...before.metadata, resourceVersion: undefined } }, body) as FakeObject;
    return this.store.update(kind, at, patched, write);
  }

  #list({ kind, namespace }: Target, query: Readonly<Record<string, string>>): object {
    const from = Number(query['continue'] ?? 0);
    const matching = this.store.list(kind, namespace).filter((object) => matches(object, query));
    const limit = Number(query['limit'] ?? 0);
    const items = limit === 0 ? matching : matching.slice(from, from + limit);
    const next = from + items.length < matching.length ? { continue: String(from + items.length) } : {};
    return {
      ...{ apiVersion: kind.apiVersion, kind: `${kind.kind}List` },
      metadata: { resourceVersion: String(this.store.version), ...next },
      items: items.map((item) => without(item, 'apiVersion', 'kind')),
    };
  }

  #scale(target: Target, { method, body, query, dryRun }: RecordedRequest): object {
    const { kind, namespace, name } = target;
    const { scale } = kind;
    if (scale === undefined) throw unknownPath();
    if (method !== 'GET') {
      const { spec, metadata } = body as { spec?: { replicas?: number }; metadata?: { resourceVersion?: string } };
      const change = (before: FakeObject): FakeObject => {
        if (spec?.replicas !== undefined) setPath(before, scale.specReplicas, spec.replicas);
        if (metadata?.resourceVersion !== undefined) before.metadata!.resourceVersion = metadata.resourceVersion;
        return before;
      };
      this.store.update(kind, { namespace, name: name! }, change, {
        manager: query['fieldManager'] ?? 'unknown',
        dryRun,
      });
    }
    const object = this.store.get(kind, namespace, name!);
    return {
      ...{ apiVersion: 'autoscaling/v1', kind: 'Scale' },
      metadata: { name, namespace, uid: object.metadata?.uid, resourceVersion: object.metadata?.resourceVersion },
      spec: { replicas: atPath(object, scale.specReplicas) ?? 0 },
      status: { replicas: atPath(object, scale.statusReplicas) ?? 0, selector: atPath(object, scale.selector) ?? '' },
    };
  }

  #evict({ kind, namespace, name }: Target, { body, dryRun }: RecordedRequest): object {
    const pod = this.store.get(kind, namespace, name!);
    if (!this.allowsEviction(pod)) {
      throw new ApiFailure(
        429,
        'TooManyRequests',
        "Cannot evict pod as it would violate the pod's disruption budget.",
        {
          causes: [{ reason: 'DisruptionBudget', message: 'The disruption budget needs more healthy pods' }],
        },
      );
    }
    const { deleteOptions } = body as {
      deleteOptions?: { preconditions?: { uid?: string; resourceVersion?: string } };
    };
    this.store.delete(kind, { namespace, name: name! }, { ...deleteOptions?.preconditions }, dryRun);
    return { apiVersion: 'v1', kind: 'Status', status: 'Success' };
  }

  #watch({ kind, namespace }: Target, query: Readonly<Record<string, string>>, response: Response): void {
    const asked = query['resourceVersion'] ?? '';
    const from = asked === '' || asked === '0' ? this.store.version : Number(asked);
    const missed = this.store.since(from);
    if (missed === undefined)
      throw new ApiFailure(410, 'Expired', 'The resourceVersion for the provided watch is too old.');
    response.writeHead(200, { 'content-type': 'application/json' });
    if ('flushHeaders' in response) response.flushHeaders();
    const watcher: Watcher = {
      ...{ kind, namespace, response, silent: false },
      labelSelector: query['labelSelector'] ?? '',
      fieldSelector: query['fieldSelector'] ?? '',
      bookmarks: query['allowWatchBookmarks'] === 'true',
    };
    this.#watchers.add(watcher);
    const timeoutSeconds = Number(query['timeoutSeconds'] ?? 0);
    const timer =
      timeoutSeconds > 0
        ? setTimeout(() => {
            if (!watcher.silent) response.end();
          }, timeoutSeconds * 1000).unref()
        : undefined;
    response.on('close', () => {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    });
    for (const event of missed) this.#send(watcher, event);
  }

  #send(watcher: Watcher, { type, kind, object, before }: StoreEvent): void {
    if (watcher.silent || kind !== watcher.kind) return;
    if (watcher.namespace !== undefined && object.metadata?.namespace !== watcher.namespace) return;
    const isSeen = type !== 'DELETED' && matches(object, watcher);
    const wasSeen = before !== undefined && matches(before, watcher);
    if (isSeen) writeLine(watcher.response, wasSeen ? 'MODIFIED' : 'ADDED', object);
    else if (wasSeen) writeLine(watcher.response, 'DELETED', object);
  }
}

const unknownPath = (): ApiFailure =>
  new ApiFailure(404, 'NotFound', 'the server could not find the requested resource');

const goneStatus = {
  kind: 'Status',
  status: 'Failure',
  reason: 'Expired',
  code: 410,
  message: 'too old resource version',
};

function matches(
  object: FakeObject,
  query: { readonly labelSelector?: string; readonly fieldSelector?: string },
): boolean {
  const { labelSelector = '', fieldSelector = '' } = query;
  if (labelSelector !== '' && !matchesLabels(object.metadata?.labels ?? {}, labelSelector)) return false;
  return fieldSelector === '' || matchesFields(object, fieldSelector);
}

async function readBody(request: Request): Promise<unknown> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece);
  return pieces.length === 0 ? undefined : (JSON.parse(Buffer.concat(pieces).toString('utf8')) as unknown);
}

interface ParsedRequest {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly target: Target | undefined;
}

function recordedRequest(request: Request, { path, query, body, target }: ParsedRequest): RecordedRequest {
  const method = request.method ?? 'GET';
  const { kind, namespace, name, subresource = '' } = target ?? {};
  return {
    ...{ verb: verbOf(method, name, query), method, path, query, namespace, name, subresource, body },
    contentType: request.headers['content-type'] ?? '',
    kind: kind?.kind ?? '',
    plural: kind?.plural ?? '',
    group: kind?.apiVersion.includes('/') === true ? kind.apiVersion.split('/')[0]! : '',
    dryRun: query['dryRun'] === 'All',
    headers: request.headers,
  };
}

function verbOf(method: string, name: string | undefined, query: Readonly<Record<string, string>>): ApiVerb {
  switch (method) {
    case 'GET':
      return query['watch'] === 'true' ? 'watch' : name === undefined ? 'list' : 'get';
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    default:
      return 'delete';
  }
}

function forbidden({ verb, plural, group, namespace, subresource }: RecordedRequest): ApiFailure {
  const resource = subresource === '' ? plural : `${plural}/${subresource}`;
  const where = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return new ApiFailure(
    403,
    'Forbidden',
    `${plural} is forbidden: cannot ${verb} resource "${resource}" in API group "${group}" ${where}`,
  );
}

function statusOf({ status, reason, message, details }: ApiFailure): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, details, code: status };
}

function answer(response: Response, status: number, object: object): void {
  const text = JSON.stringify(object);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  (response as ServerResponse).end(text);
}

function writeLine(response: Response, type: string, object: object): void {
  (response as ServerResponse).write(`${JSON.stringify({ type, object })}\n`);
}

/** Breaks what carries the answer: the stream of HTTP/2, the connection of HTTP/1.1. */
function destroy(response: Response): void {
  if ('stream' in response) response.stream.destroy(new Error('reset'));
  else response.socket?.resetAndDestroy();
}

function atPath(object: FakeObject, path: string): unknown {
  return path.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], object);
}

function setPath(object: FakeObject, path: string, value: unknown): void {
  const steps = path.split('.');
  const last = steps.pop()!;
  const parent = steps.reduce<Record<string, unknown>>(
    (at, step) => (at[step] ??= {}) as Record<string, unknown>,
    object,
  );
  parent[last] = value;
}
