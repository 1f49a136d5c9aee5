/** Where a bucket is and how it is used; and the configuration's fields for the bucket and its read replica. */
import type { BrokerConfig } from '@kafscale/protocol';

/** The environment variables behind the settings, for messages that tell what to change. */
export interface S3Variables {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken: string;
  readonly kmsArn: string;
}

export interface S3Settings {
  readonly bucket: string;
  readonly region: string;
  /** URL of an S3-compatible service; AWS unless given. */
  readonly endpoint: string | undefined;
  readonly pathStyle: boolean;
  /** The SDK's default chain unless given. */
  readonly credentials:
    | { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken: string | undefined }
    | undefined;
  /** KMS key for SSE-KMS. */
  readonly kmsArn: string | undefined;
  /** Account that the bucket must belong to. */
  readonly bucketOwner: string | undefined;
  /** Sign the bytes of a body too (SHA-256), for buckets whose policy asks for it. */
  readonly signPayload: boolean;
  /** Requests at once; so many idle connections are kept. */
  readonly concurrency: number;
  readonly variables: S3Variables;
}

export const s3Variables: S3Variables = {
  bucket: 'KAFSCALE_S3_BUCKET',
  region: 'KAFSCALE_S3_REGION',
  endpoint: 'KAFSCALE_S3_ENDPOINT',
  accessKey: 'KAFSCALE_S3_ACCESS_KEY',
  secretKey: 'KAFSCALE_S3_SECRET_KEY',
  sessionToken: 'KAFSCALE_S3_SESSION_TOKEN',
  kmsArn: 'KAFSCALE_S3_KMS_ARN',
};

/** Undefined where the configuration names no bucket. */
export function bucketSettings(config: BrokerConfig): S3Settings | undefined {
  const { s3Bucket, s3AccessKey, s3SecretKey } = config;
  if (s3Bucket === undefined) return undefined;
  return {
    bucket: s3Bucket,
    region: config.s3Region,
    endpoint: config.s3Endpoint,
    pathStyle: config.s3PathStyle ?? config.s3Endpoint !== undefined,
    credentials:
      s3AccessKey === undefined
        ? undefined
        : { accessKeyId: s3AccessKey, secretAccessKey: s3SecretKey ?? '', sessionToken: config.s3SessionToken },
    kmsArn: config.s3KmsArn,
    bucketOwner: config.s3BucketOwner,
    signPayload: config.s3SignPayload,
    concurrency: config.s3Concurrency,
    variables: s3Variables,
  };
}

/** The read replica's; undefined where none is named. What is not said of it is as with the bucket, the account included. */
export function replicaSettings(config: BrokerConfig): S3Settings | undefined {
  const primary = bucketSettings(config);
  const { s3ReadBucket, s3ReadRegion, s3ReadEndpoint } = config;
  if (primary === undefined || (s3ReadBucket ?? s3ReadRegion ?? s3ReadEndpoint) === undefined) return undefined;
  const endpoint = s3ReadEndpoint ?? primary.endpoint;
  return {
    ...primary,
    bucket: s3ReadBucket ?? primary.bucket,
    region: s3ReadRegion ?? primary.region,
    endpoint,
    pathStyle: config.s3PathStyle ?? endpoint !== undefined,
    variables: {
      ...s3Variables,
      bucket: 'KAFSCALE_S3_READ_BUCKET',
      region: 'KAFSCALE_S3_READ_REGION',
      endpoint: 'KAFSCALE_S3_READ_ENDPOINT',
    },
  };
}
