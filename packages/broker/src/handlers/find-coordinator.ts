/**
 * FindCoordinator v0-6: one key up to v3, many from v4 on. A group is found at the living broker that owns its shard; so are
 * transactional ids, whose requests are then answered one by one. While a shard has no such owner the answer waits a moment for one,
 * since clients wait longer. Share groups (key type 2) are not served.
 */
import { ErrorCode, findCoordinator, type ResponseOf } from '@kafscale/protocol';
import { imageShows } from '../metadata/image-shows.ts';
import { defineHandler } from './define-handler.ts';
import type { Services } from './services.ts';

type Coordinator = ResponseOf<typeof findCoordinator>['coordinators'][number];

const ownerWaitMs = 500;
const keyTypes = { group: 0, transaction: 1 } as const;

export const findCoordinatorHandler = defineHandler({
  api: findCoordinator,
  fail(errorCode, request) {
    const keys = request.coordinatorKeys.length > 0 ? request.coordinatorKeys : [request.key];
    return answer(keys.map((key) => notFound(key, errorCode)));
  },
  async handle({ key, keyType, coordinatorKeys }, { apiVersion, signal }, services) {
    const { groups, image, clock } = services;
    const keys = apiVersion >= 4 ? coordinatorKeys : [key];
    if (keyType === keyTypes.group || keyType === keyTypes.transaction) {
      const areFound = () => keys.every((each) => groups.coordinatorOf(each) !== undefined);
      await imageShows(image, areFound, { clock, timeoutMs: ownerWaitMs, signal });
    }
    return answer(keys.map((each) => find(each, keyType, services)));
  },
});

function find(key: string, keyType: number, { groups }: Services): Coordinator {
  if (keyType !== keyTypes.group && keyType !== keyTypes.transaction) return notFound(key, ErrorCode.INVALID_REQUEST);
  const broker = groups.coordinatorOf(key);
  if (broker === undefined) return notFound(key, ErrorCode.COORDINATOR_NOT_AVAILABLE);
  const { brokerId, host, port } = broker;
  return { key, nodeId: brokerId, host, port, errorCode: ErrorCode.NONE, errorMessage: null };
}

const notFound = (key: string, errorCode: ErrorCode): Coordinator => ({
  key,
  nodeId: -1,
  host: '',
  port: -1,
  errorCode,
  errorMessage: null,
});

/** Old versions see the first coordinator in the fields of their own. */
function answer(coordinators: Coordinator[]): ResponseOf<typeof findCoordinator> {
  const { errorCode, errorMessage, nodeId, host, port } = coordinators[0] ?? notFound('', ErrorCode.NONE);
  return { throttleTimeMs: 0, errorCode, errorMessage, nodeId, host, port, coordinators };
}
