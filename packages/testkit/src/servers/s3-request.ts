/**
 * One request to an S3 server, signed by hand (Signature Version 4), so that tests can make buckets and look at or damage what is
 * stored without going through the client that they test.
 */
import { createHash, createHmac } from 'node:crypto';

export interface S3Access {
  /** `http://host:port`, without a path. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'HEAD' | 'POST';
  /** Bucket, or bucket and key. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest();
/** What the signature wants encoded, which is more than encodeURIComponent does. */
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** The answer, whatever its status. Rejects only when there is none. */
export async function s3Request(access: S3Access, request: S3Request, timeoutMs = 30_000): Promise<Response> {
  const { method, query = {}, headers = {}, body = new Uint8Array() } = request;
  const path = `/${request.path.split('/').map(encoded).join('/')}`;
  const search = Object.entries(query)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const signed: Record<string, string> = {
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    host: new URL(access.endpoint).host,
    'x-amz-content-sha256': sha256(body),
    'x-amz-date': time,
  };
  const names = Object.keys(signed).sort();
  const canonicalHeaders = names.map((name) => `${name}:${signed[name]!.trim()}\n`).join('');
  const canonical = [method, path, search, canonicalHeaders, names.join(';'), signed['x-amz-content-sha256']].join(
    '\n',
  );
  const scope = [time.slice(0, 8), access.region, 's3', 'aws4_request'];
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${access.secretKey}`);
  const signature = hmac(key, ['AWS4-HMAC-SHA256', time, scope.join('/'), sha256(canonical)].join('\n'));
  // fetch sets the host by itself, from the address
  const sent = Object.fromEntries(Object.entries(signed).filter(([name]) => name !== 'host'));
  return fetch(`${access.endpoint}${path}${search === '' ? '' : `?${search}`}`, {
    method,
    headers: {
      ...sent,
      authorization: `AWS4-HMAC-SHA256 Credential=${access.accessKey}/${scope.join('/')}, SignedHeaders=${names.join(';')}, Signature=${signature.toString('hex')}`,
    },
    ...(method !== 'GET' && method !== 'HEAD' && { body }),
    signal: AbortSignal.timeout(timeoutMs),
  });
}
