/**
 * What goes along with every call: that the member must know a leader, and the token of the user. Tokens are asked for when there is
 * none and when etcd no longer takes the one there is: they expire, and a member that starts again has forgotten them.
 */
import { Metadata } from '@grpc/grpc-js';
import { MetadataError } from '../metadata-error.ts';

export interface EtcdUser {
  readonly name: string;
  readonly password: string;
}

/** Asks etcd for a token; undefined where authentication is not enabled. Throws MetadataError. */
export type Authenticate = (user: EtcdUser) => Promise<string | undefined>;

export class EtcdAccess {
  readonly #user: EtcdUser | undefined;
  #metadata = metadataWith(undefined);
  #renewal: Promise<void> | undefined;
  #needsToken: boolean;

  constructor(user: EtcdUser | undefined) {
    this.#user = user;
    this.#needsToken = user !== undefined;
  }

  /** For calls that are made now. */
  get metadata(): Metadata {
    return this.#metadata;
  }

  /** For the call that asks for a token: etcd 3.4 refuses it when an expired one comes along. */
  readonly withoutToken = metadataWith(undefined);

  get hasUser(): boolean {
    return this.#user !== undefined;
  }

  /** True until the first token has come. */
  get needsToken(): boolean {
    return this.#needsToken;
  }

  /** Gets a token in the place of the one in `refused`; one renewal serves all who need it. Throws MetadataError. */
  async renew(refused: Metadata, authenticate: Authenticate): Promise<void> {
    if (refused !== this.#metadata) return;
    this.#renewal ??= this.#renew(authenticate).finally(() => (this.#renewal = undefined));
    await this.#renewal;
  }

  async #renew(authenticate: Authenticate): Promise<void> {
    if (this.#user === undefined) {
      throw new MetadataError(
        'invalid',
        'etcd asks for a user: set KAFSCALE_ETCD_USERNAME and KAFSCALE_ETCD_PASSWORD, or a client certificate',
      );
    }
    this.#metadata = metadataWith(await authenticate(this.#user));
    this.#needsToken = false;
  }
}

function metadataWith(token: string | undefined): Metadata {
  const metadata = new Metadata();
  metadata.set('hasleader', 'true');
  if (token !== undefined) metadata.set('token', token);
  return metadata;
}
