import { defineApi } from '../wire/define-api.ts';
import { array, boolean, errorCode, int16, int32, int64, string, struct } from '../wire/fields.ts';

/**
 * ApiVersions: what the broker speaks, asked before anything else.
 * v3 is flexible and tells the client's software (KIP-511), features follow as tagged fields (KIP-584); its response
 * header never is flexible. A version that is too new is answered in v0 with UNSUPPORTED_VERSION. v4 lets a supported
 * feature start at 0.
 */
export const apiVersions = defineApi({
  key: 18,
  name: 'ApiVersions',
  versions: [0, 4],
  flexibleFrom: 3,
  request: struct({
    clientSoftwareName: string().since(3, ''),
    clientSoftwareVersion: string().since(3, ''),
  }),
  response: struct({
    errorCode: errorCode(),
    apiKeys: array(struct({ apiKey: int16(), minVersion: int16(), maxVersion: int16() })),
    throttleTimeMs: int32().since(1, 0),
    supportedFeatures: array(struct({ name: string(), minVersion: int16(), maxVersion: int16() })).tagged(0, 3, []),
    finalizedFeaturesEpoch: int64().tagged(1, 3, -1n),
    finalizedFeatures: array(struct({ name: string(), maxVersionLevel: int16(), minVersionLevel: int16() })).tagged(
      2,
      3,
      [],
    ),
    zkMigrationReady: boolean().tagged(3, 3, false),
  }),
});
