/**
 * The files by which etcd is trusted and shown who we are. They are read anew for each connection, since whoever issues certificates
 * replaces them under a running broker: in the middle of that they may be missing or not fit together, and then the last good ones
 * serve until the next connection. A connection that stands keeps what it was opened with.
 */
import type { Logger } from '@kafscale/runtime';
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { readFileSync } from 'node:fs';
import { MetadataError } from '../metadata-error.ts';

export interface TlsFileNames {
  readonly etcdCaFile?: string | undefined;
  readonly etcdCertFile?: string | undefined;
  readonly etcdKeyFile?: string | undefined;
}

type Contents = readonly [ca: Buffer | null, key: Buffer | null, cert: Buffer | null];

export class TlsFiles {
  readonly #names: TlsFileNames;
  readonly #logger: Logger | undefined;
  #contents: Contents;
  #credentials: ChannelCredentials;
  /** Told once, not at every connection. */
  #complaint: string | undefined;

  /** Throws MetadataError with the variable of the file that cannot be read or used. */
  constructor(names: TlsFileNames, logger?: Logger) {
    this.#names = names;
    this.#logger = logger;
    this.#contents = readAll(names);
    this.#credentials = credentialsOf(this.#contents);
  }

  /** For a connection that is opened now. Never throws: a broker that runs has credentials that were good. */
  current(): ChannelCredentials {
    try {
      const contents = readAll(this.#names);
      if (!isSame(contents, this.#contents)) {
        this.#credentials = credentialsOf(contents);
        this.#contents = contents;
        this.#logger?.info({}, 'the TLS files for etcd have changed; new connections use them');
      }
      this.#complaint = undefined;
    } catch (error) {
      const complaint = String(error);
      if (complaint !== this.#complaint) {
        this.#logger?.warn({ err: error }, 'the TLS files for etcd cannot be used; going on with the ones before');
      }
      this.#complaint = complaint;
    }
    return this.#credentials;
  }
}

function readAll({ etcdCaFile, etcdKeyFile, etcdCertFile }: TlsFileNames): Contents {
  return [
    readPem('KAFSCALE_ETCD_CA_FILE', etcdCaFile),
    readPem('KAFSCALE_ETCD_KEY_FILE', etcdKeyFile),
    readPem('KAFSCALE_ETCD_CERT_FILE', etcdCertFile),
  ];
}

/** At once, so that nothing can be asked of a connection before its credentials are known; they are a few KiB on a local disk. */
function readPem(variable: string, file: string | undefined): Buffer | null {
  if (file === undefined) return null;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new MetadataError('invalid', `${variable}: ${file} cannot be read (${String(error)})`, { cause: error });
  }
}

function credentialsOf(contents: Contents): ChannelCredentials {
  try {
    return credentials.createSsl(...contents);
  } catch (error) {
    throw new MetadataError('invalid', `the TLS files for etcd do not fit together: ${String(error)}`, {
      cause: error,
    });
  }
}

const isSame = (some: Contents, others: Contents): boolean =>
  some.every((one, index) => {
    const other = others[index] ?? null;
    return one === null || other === null ? one === other : one.equals(other);
  });
