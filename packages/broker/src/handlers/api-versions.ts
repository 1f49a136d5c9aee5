/**
 * ApiVersions v0-4: the APIs that have a handler, with the versions they are served in. Says who the client is (KIP-511). No
 * features are finalized, so clients stay on the first transaction protocol and on classic groups unless they ask otherwise.
 */
import { apiVersions, ErrorCode, KafkaError, type RequestOf, type ResponseOf } from '@kafscale/protocol';
import { defineHandler, type Handler } from './define-handler.ts';
import type { ServedApi } from './registry.ts';

type ApiVersionsRequest = RequestOf<typeof apiVersions>;
type ApiVersionsResponse = ResponseOf<typeof apiVersions>;

/** The handler over the registry it is part of. */
export function apiVersionsHandler(registry: Iterable<ServedApi>): Handler<ApiVersionsRequest, ApiVersionsResponse> {
  const served: { apiKey: number; minVersion: number; maxVersion: number }[] = [];
  return defineHandler({
    api: apiVersions,
    fail: (code) => answer(code, []),
    handle(request, { apiVersion }) {
      if (apiVersion >= 3 && !isClientSoftware(request)) throw new KafkaError(ErrorCode.INVALID_REQUEST);
      if (served.length === 0) served.push(...[...registry].map(advertised));
      return answer(ErrorCode.NONE, served);
    },
  });
}

/** The answer to a version that is not served, in version 0, which every client reads: it names what may be asked instead. */
export const unsupportedApiVersions: ApiVersionsResponse = answer(ErrorCode.UNSUPPORTED_VERSION, [
  { apiKey: apiVersions.key, minVersion: apiVersions.versions[0], maxVersion: apiVersions.versions[1] },
]);

const softwarePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

/** Whether name and version are made as KIP-511 demands. */
function isClientSoftware({ clientSoftwareName, clientSoftwareVersion }: ApiVersionsRequest): boolean {
  return softwarePattern.test(clientSoftwareName) && softwarePattern.test(clientSoftwareVersion);
}

const advertised = ({ handler, minVersion, maxVersion }: ServedApi) => ({
  apiKey: handler.api.key,
  minVersion,
  maxVersion,
});

function answer(errorCode: ErrorCode, apiKeys: ApiVersionsResponse['apiKeys']): ApiVersionsResponse {
  return {
    errorCode,
    apiKeys,
    throttleTimeMs: 0,
    supportedFeatures: [],
    finalizedFeaturesEpoch: -1n,
    finalizedFeatures: [],
    zkMigrationReady: false,
  };
}
