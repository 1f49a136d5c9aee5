/** The KubeClient over HTTP: paths, deadlines, retries of what certainly was not done, and answers turned into objects or errors. */
import type { Clock } from '@kafscale/runtime';
import type { ClusterAccess } from './cluster-access.ts';
import { NotProcessed, type ApiRequest, type ApiResponse } from './connection/connection.ts';
import { Dialer, type DialerSettings } from './connection/dialer.ts';
import {
  fieldManager,
  type CallOptions,
  type KubeClient,
  type KubeList,
  type ListOptions,
  type PatchType,
  type Scale,
  type WatchEvent,
  type WatchOptions,
} from './kube-client.ts';
import { isKubeError, KubeError, refusal, watchRefusal } from './kube-error.ts';
import { describeObject, type Kind, type KubeObject, type ObjectName, type Stored } from './kube-object.ts';
import { kinds } from './kinds.ts';
import { jsonLines } from './json-lines.ts';

export interface KubeClientSettings {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  /** Named in audit logs of the API server. */
  readonly userAgent?: string;
  /** Bound on a call that names none. */
  readonly deadlineMs?: number;
  readonly connection?: Pick<DialerSettings, 'ping' | 'dialTimeoutMs'>;
}

const defaultDeadlineMs = 10_000;
const pageSize = 500;
/** Longer answers are refused rather than held in memory. */
const longestBody = 64 * 1024 * 1024;
/** Where silence is not noticed, a watch ends by itself soon enough to be begun anew within 10 s of a break. */
const shortWatchSeconds = 6;
/** What a server may take beyond a watch's own end. */
const watchGraceMs = 2_000;

interface Call extends CallOptions {
  readonly method: ApiRequest['method'];
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  /** For messages: `get Pod shop/a`. */
  readonly action: string;
  /** False where being throttled is an answer rather than a delay. */
  readonly retriesThrottled?: boolean;
}

export function createKubeClient(settings: KubeClientSettings): KubeClient {
  return new HttpKubeClient(settings);
}

class HttpKubeClient implements KubeClient {
  readonly #access: ClusterAccess;
  readonly #clock: Clock;
  readonly #dialer: Dialer;
  readonly #userAgent: string;
  readonly #deadlineMs: number;

  constructor({
    access,
    clock,
    userAgent = fieldManager,
    deadlineMs = defaultDeadlineMs,
    connection,
  }: KubeClientSettings) {
    this.#access = access;
    this.#clock = clock;
    this.#userAgent = userAgent;
    this.#deadlineMs = deadlineMs;
    this.#dialer = new Dialer({ access, clock, ...connection });
  }

  async get<T extends KubeObject>(kind: Kind<T>, name: ObjectName, options: CallOptions = {}): Promise<Stored<T>> {
    return this.#object(kind, {
      ...options,
      method: 'GET',
      path: pathOf(kind, name),
      action: `get ${describeObject(kind, name)}`,
    });
  }

  async find<T extends KubeObject>(kind: Kind<T>, name: ObjectName, options: CallOptions = {}) {
    try {
      return await this.get(kind, name, options);
    } catch (error) {
      if (isKubeError(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(kind: Kind<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    const items: Stored<T>[] = [];
    let resourceVersion = '';
    for await (const page of this.listPages(kind, options)) {
      items.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    return { resourceVersion, items };
  }

  async *listPages<T extends KubeObject>(kind: Kind<T>, options: ListOptions = {}): AsyncGenerator<KubeList<T>> {
    const { namespace, labelSelector, fieldSelector, ...call } = options;
    let next: string | undefined;
    do {
      const page = (await this.#json({
        ...call,
        method: 'GET',
        path: collectionPath(kind, namespace),
        query: { labelSelector, fieldSelector, limit: pageSize, continue: next },
        action: `list ${kind.plural}`,
      })) as ListBody<T>;
      const items = (page.items ?? []).map((item) => storedObject(item, kind));
      yield { resourceVersion: page.metadata.resourceVersion, items };
      next = page.metadata.continue;
    } while (next !== undefined && next !== '');
  }

  async *watch<T extends KubeObject>(kind: Kind<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const { namespace, labelSelector, fieldSelector, resourceVersion, signal } = options;
    const action = `watch ${kind.plural}`;
    const controller = new AbortController();
    const release = abortsWith(signal, controller);
    try {
      const connection = await this.#connection(action);
      const timeoutSeconds = connection.noticesSilence
        ? options.timeoutSeconds
        : Math.min(options.timeoutSeconds, shortWatchSeconds);
      const query = {
        ...{ watch: true, allowWatchBookmarks: true, resourceVersion, timeoutSeconds },
        ...{ labelSelector, fieldSelector },
      };
      const request = { method: 'GET', path: `${collectionPath(kind, namespace)}${queryText(query)}` } as const;
      let cancel = this.#clock.schedule(this.#deadlineMs, () => controller.abort(new Error('no answer to the watch')));
      try {
        const response = await this.#send({ ...request, action }, undefined, controller.signal);
        cancel();
        if (response.status !== 200) throw await this.#refusal(response, action);
        cancel = this.#clock.schedule(timeoutSeconds * 1000 + watchGraceMs, () => {
          controller.abort(new Error('the watch outlived its end'));
        });
        for await (const line of jsonLines(response.body, longestBody)) yield watchEvent(line, kind, action);
      } finally {
        cancel();
      }
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof KubeError ? error : broken(action, error);
    } finally {
      release();
      controller.abort(new Error('the watch is over'));
    }
  }

  create: KubeClient['create'] = (kind, object, options = {}) => {
    const { dryRun, ...call } = options;
    const { namespace } = object.metadata;
    return this.#object(kind, {
      ...call,
      method: 'POST',
      path: collectionPath(kind, namespace),
      query: { fieldManager, ...dryRunQuery(dryRun) },
      body: withKind(kind, object),
      action: `create ${describeObject(kind, object.metadata)}`,
    });
  };

  replace: KubeClient['replace'] = (kind, object, options = {}) => {
    const { dryRun, ...call } = options;
    return this.#object(kind, {
      ...call,
      method: 'PUT',
      path: pathOf(kind, object.metadata),
      query: { fieldManager, ...dryRunQuery(dryRun) },
      body: withKind(kind, object),
      action: `replace ${describeObject(kind, object.metadata)}`,
    });
  };

  apply: KubeClient['apply'] = (kind, object, options = {}) => {
    const { dryRun, force = false, ...call } = options;
    return this.#object(kind, {
      ...call,
      method: 'PATCH',
      path: pathOf(kind, object.metadata),
      query: { fieldManager, force, ...dryRunQuery(dryRun) },
      body: withKind(kind, object),
      contentType: 'application/apply-patch+yaml',
      action: `apply ${describeObject(kind, object.metadata)}`,
    });
  };

  applyStatus: KubeClient['applyStatus'] = (kind, object, options = {}) => {
    const { dryRun, ...call } = options;
    return this.#object(kind, {
      ...call,
      method: 'PATCH',
      path: `${pathOf(kind, object.metadata)}/status`,
      query: { fieldManager, force: true, ...dryRunQuery(dryRun) },
      body: withKind(kind, object),
      contentType: 'application/apply-patch+yaml',
      action: `apply the status of ${describeObject(kind, object.metadata)}`,
    });
  };

  patch: KubeClient['patch'] = (kind, name, patch, options = {}) => {
    const { dryRun, type = 'merge', subresource, ...call } = options;
    return this.#object(kind, {
      ...call,
      method: 'PATCH',
      path: `${pathOf(kind, name)}${subresource === undefined ? '' : `/${subresource}`}`,
      query: { fieldManager, ...dryRunQuery(dryRun) },
      body: patch,
      contentType: patchContentTypes[type],
      action: `patch ${describeObject(kind, name)}`,
    });
  };

  delete: KubeClient['delete'] = async (kind, name, options = {}) => {
    const { dryRun, propagation = 'Background', uid, resourceVersion, gracePeriodSeconds, ...call } = options;
    try {
      await this.#json({
        ...call,
        method: 'DELETE',
        path: pathOf(kind, name),
        query: dryRunQuery(dryRun),
        body: deleteBody({ propagation, uid, resourceVersion, gracePeriodSeconds }),
        action: `delete ${describeObject(kind, name)}`,
      });
      return true;
    } catch (error) {
      if (isKubeError(error, 'not-found')) return false;
      throw error;
    }
  };

  scale: KubeClient['scale'] = async (kind, name, options = {}) => {
    const action = `read the scale of ${describeObject(kind, name)}`;
    return scaleOf(await this.#json({ ...options, method: 'GET', path: `${pathOf(kind, name)}/scale`, action }));
  };

  setScale: KubeClient['setScale'] = async (kind, name, replicas, options = {}) => {
    const { dryRun, resourceVersion, ...call } = options;
    const answer = await this.#json({
      ...call,
      method: 'PATCH',
      path: `${pathOf(kind, name)}/scale`,
      query: { fieldManager, ...dryRunQuery(dryRun) },
      body: { ...(resourceVersion !== undefined && { metadata: { resourceVersion } }), spec: { replicas } },
      contentType: patchContentTypes.merge,
      action: `scale ${describeObject(kind, name)} to ${replicas}`,
    });
    return scaleOf(answer);
  };

  evict: KubeClient['evict'] = async (pod, options = {}) => {
    const { dryRun, propagation = 'Background', uid, resourceVersion, gracePeriodSeconds, ...call } = options;
    await this.#json({
      ...call,
      method: 'POST',
      path: `${pathOf(kinds.Pod, pod)}/eviction`,
      query: dryRunQuery(dryRun),
      body: {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: pod.name, namespace: pod.namespace },
        deleteOptions: deleteBody({ propagation, uid, resourceVersion, gracePeriodSeconds }),
      },
      action: `evict ${describeObject(kinds.Pod, pod)}`,
      retriesThrottled: false,
    });
  };

  async serverVersion(options: CallOptions = {}): Promise<string> {
    const answer = await this.#json({ ...options, method: 'GET', path: '/version', action: 'read the version' });
    return (answer as { readonly gitVersion: string }).gitVersion;
  }

  async close(): Promise<void> {
    this.#dialer.close();
  }

  async #object<T extends KubeObject>(kind: Kind<T>, call: Call): Promise<Stored<T>> {
    return storedObject<T>((await this.#json(call)) as MutableObject, kind);
  }

  /** The answer of a call within its deadline. Throttled calls, and those that certainly were not processed, are sent again. */
  async #json(call: Call): Promise<unknown> {
    const { action, signal, deadlineMs = this.#deadlineMs, retriesThrottled = true } = call;
    signal?.throwIfAborted();
    const controller = new AbortController();
    const release = abortsWith(signal, controller);
    const endsAtMs = this.#clock.monotonicMs() + deadlineMs;
    const cancel = this.#clock.schedule(deadlineMs, () => {
      controller.abort(new KubeError('unavailable', `${action}: no answer within ${deadlineMs} ms`));
    });
    try {
      for (let attempt = 0; ; attempt += 1) {
        try {
          return await this.#attempt(call, controller.signal);
        } catch (error) {
          controller.signal.throwIfAborted();
          const waitMs = retryDelayMs(error, { attempt, call, retriesThrottled });
          if (waitMs === undefined || this.#clock.monotonicMs() + waitMs >= endsAtMs) throw error;
          if (waitMs > 0) await this.#clock.sleep(waitMs, controller.signal);
        }
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof KubeError ? error : broken(action, error);
    } finally {
      cancel();
      release();
    }
  }

  async #attempt(call: Call, signal: AbortSignal): Promise<unknown> {
    const { method, path, query = {}, action } = call;
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const request = { method, path: `${path}${queryText(query)}`, body, action };
    const response = await this.#send(request, call.contentType, signal);
    const text = await bodyText(response);
    if (response.status < 200 || response.status > 299) {
      throw refusal({ status: response.status, body: text, retryAfter: response.header('retry-after'), action });
    }
    return JSON.parse(text) as unknown;
  }

  /** Sends with the credentials we have, and once more with fresh ones when the server does not believe them. */
  async #send(
    request: Omit<ApiRequest, 'headers'> & { readonly action: string },
    contentType: string | undefined,
    signal: AbortSignal,
  ): Promise<ApiResponse> {
    for (const afresh of [false, true]) {
      const connection = await this.#connection(request.action);
      const headers = {
        accept: 'application/json',
        'user-agent': this.#userAgent,
        ...(request.body !== undefined && { 'content-type': contentType ?? 'application/json' }),
        ...(await this.#access.headers(afresh)),
      };
      const response = await connection.send({ ...request, headers }, signal);
      if (response.status !== 401 || afresh) return response;
      await bodyText(response);
    }
    throw new Error('unreachable');
  }

  async #connection(action: string) {
    try {
      return await this.#dialer.connection();
    } catch (error) {
      throw broken(action, error);
    }
  }

  async #refusal(response: ApiResponse, action: string): Promise<KubeError> {
    const body = await bodyText(response);
    return refusal({ status: response.status, body, retryAfter: response.header('retry-after'), action });
  }
}

const patchContentTypes: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

const mostAttempts = 5;

/** How long to wait before the same call again; undefined when its failure is the answer. */
function retryDelayMs(
  error: unknown,
  { attempt, call, retriesThrottled }: { attempt: number; call: Call; retriesThrottled: boolean },
): number | undefined {
  if (attempt + 1 >= mostAttempts) return undefined;
  if (error instanceof NotProcessed) return 0;
  if (!(error instanceof KubeError)) return call.method === 'GET' && attempt === 0 ? 0 : undefined;
  const throttled = error.status === 429 || error.status === 503;
  return throttled && retriesThrottled ? error.retryAfterMs : undefined;
}

function broken(action: string, error: unknown): KubeError {
  const { message = String(error) } = error as { readonly message?: string };
  return new KubeError('unavailable', `${action}: ${message}`, { cause: error });
}

/** Aborts `controller` when `signal` aborts; the result takes that back. */
function abortsWith(signal: AbortSignal | undefined, controller: AbortController): () => void {
  if (signal === undefined) return () => undefined;
  const onAbort = () => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}

function collectionPath({ apiVersion, plural, namespaced }: Kind, namespace: string | undefined): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = namespaced && namespace !== undefined && namespace !== '';
  return scope ? `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}` : `${root}/${plural}`;
}

function pathOf(
  kind: Kind,
  { namespace, name }: { readonly namespace?: string | undefined; readonly name: string },
): string {
  if (kind.namespaced && (namespace === undefined || namespace === '')) {
    throw new KubeError('invalid', `${kind.kind} ${name} has no namespace`);
  }
  if (name === '') throw new KubeError('invalid', `a ${kind.kind} without a name`);
  return `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}`;
}

function queryText(query: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  if (given.length === 0) return '';
  return `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)])).toString()}`;
}

const dryRunQuery = (dryRun: boolean | undefined): { dryRun?: string } => (dryRun === true ? { dryRun: 'All' } : {});

function deleteBody(options: {
  readonly propagation: string;
  readonly uid: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly gracePeriodSeconds: number | undefined;
}) {
  const { propagation, uid, resourceVersion, gracePeriodSeconds } = options;
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    propagationPolicy: propagation,
    ...((uid !== undefined || resourceVersion !== undefined) && { preconditions: { uid, resourceVersion } }),
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
  };
}

interface ListBody<T extends KubeObject> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items?: readonly (T & MutableObject)[] | null;
}

interface MutableObject {
  apiVersion?: string;
  kind?: string;
  metadata?: { managedFields?: unknown };
}

/** Items of a list do not say what they are, and nobody here reads who manages which field. */
function storedObject<T extends KubeObject>(object: MutableObject, kind: Kind<T>): Stored<T> {
  object.apiVersion = kind.apiVersion;
  object.kind = kind.kind;
  delete object.metadata?.managedFields;
  return object as unknown as Stored<T>;
}

const withKind = (kind: Kind, object: object): object => ({ ...object, apiVersion: kind.apiVersion, kind: kind.kind });

function watchEvent<T extends KubeObject>(line: unknown, kind: Kind<T>, action: string): WatchEvent<T> {
  const { type, object } = line as { readonly type: string; readonly object: MutableObject };
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object: storedObject(object, kind) };
    case 'BOOKMARK':
      return { type, resourceVersion: storedObject(object, kind).metadata.resourceVersion };
    default:
      throw watchRefusal(object, action);
  }
}

function scaleOf(answer: unknown): Scale {
  const { metadata, spec, status } = answer as {
    readonly metadata: { readonly resourceVersion: string };
    readonly spec?: { readonly replicas?: number };
    readonly status?: { readonly replicas?: number; readonly selector?: string };
  };
  return {
    resourceVersion: metadata.resourceVersion,
    replicas: spec?.replicas ?? 0,
    statusReplicas: status?.replicas ?? 0,
    selector: status?.selector ?? '',
  };
}

async function bodyText({ body }: ApiResponse): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    if (length > longestBody) throw new Error(`an answer of more than ${longestBody} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces, length).toString('utf8');
}
