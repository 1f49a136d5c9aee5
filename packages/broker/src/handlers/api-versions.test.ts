import {
  apis,
  apiVersions,
  ErrorCode,
  fetch,
  heartbeat,
  KafkaError,
  produce,
  type ResponseOf,
} from '@kafscale/protocol';
import { apiVersionsHandler, unsupportedApiVersions } from './api-versions.ts';
import type { RequestContext } from './define-handler.ts';
import { defineHandler } from './define-handler.ts';
import { handlers, HandlerRegistry } from './registry.ts';
import type { Services } from './services.ts';

type Response = ResponseOf<typeof apiVersions>;

const ask = (registry: HandlerRegistry, apiVersion: number, name = 'raw', version = '1'): Response =>
  apiVersionsHandler(registry).handle(
    { clientSoftwareName: name, clientSoftwareVersion: version },
    { apiVersion } as RequestContext,
    {} as Services,
  ) as Response;

const rangeOf = ({ apiKeys }: Response, key: number): readonly [number, number] | undefined => {
  const found = apiKeys.find(({ apiKey }) => apiKey === key);
  return found && [found.minVersion, found.maxVersion];
};

describe('ApiVersions', () => {
  const registry = new HandlerRegistry(handlers);

  it('lists every API that has a handler, itself among them, in the order of the keys', () => {
    const keys = ask(registry, 0).apiKeys.map(({ apiKey }) => apiKey);
    expect(keys).toEqual([...handlers.map(({ api }) => api.key), apiVersions.key].sort((a, b) => a - b));
  });

  it('lists the whole declared range of every API but Fetch', () => {
    const answer = ask(registry, 0);
    for (const { key, versions } of apis) {
      if (key !== fetch.key) expect([undefined, versions]).toContainEqual(rangeOf(answer, key));
    }
    expect(rangeOf(answer, fetch.key)).toEqual([4, fetch.versions[1]]);
    expect(rangeOf(answer, produce.key)).toEqual([0, 13]);
  });

  it('finalizes no features', () => {
    expect(ask(registry, 4)).toMatchObject({
      errorCode: ErrorCode.NONE,
      finalizedFeatures: [],
      finalizedFeaturesEpoch: -1n,
    });
  });

  it('refuses software without a proper name or version from version 3 on', () => {
    expect(() => ask(registry, 3, '')).toThrow(KafkaError);
    expect(() => ask(registry, 3, 'raw', '1.0-')).toThrow(KafkaError);
    expect(ask(registry, 2, '').errorCode).toBe(ErrorCode.NONE);
  });

  it('answers a version it lacks with nothing but its own range', () => {
    expect(unsupportedApiVersions).toMatchObject({
      errorCode: ErrorCode.UNSUPPORTED_VERSION,
      apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 4 }],
    });
  });
});

describe('HandlerRegistry', () => {
  const handler = defineHandler({
    api: heartbeat,
    fail: (errorCode) => ({ throttleTimeMs: 0, errorCode }),
    handle: () => ({ throttleTimeMs: 0, errorCode: ErrorCode.NONE }),
  });

  it('finds nothing under a key without handler', () => {
    const registry = new HandlerRegistry([handler]);
    expect([registry.find(heartbeat.key)?.handler, registry.find(produce.key), registry.find(-1)]).toEqual([
      handler,
      undefined,
      undefined,
    ]);
  });

  it('takes one handler per API', () => {
    expect(() => new HandlerRegistry([handler, handler])).toThrow('Heartbeat has two handlers');
  });
});
