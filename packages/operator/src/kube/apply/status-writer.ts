/** Writes the status of our own resources, and only when it says something new. */
import type { CallOptions, KubeClient } from '../kube-client.ts';
import { objectKey, type Desired, type Kind, type KubeObject, type Stored } from '../kube-object.ts';
import { differences } from './differences.ts';
import { describe, OwnWrites } from './own-writes.ts';

interface WithStatus {
  readonly status?: unknown;
}

export class StatusWriter {
  readonly #client: Pick<KubeClient, 'applyStatus'>;
  readonly #writes = new OwnWrites();

  constructor(client: Pick<KubeClient, 'applyStatus'>) {
    this.#client = client;
  }

  /** The object as it is, or as our last write left it when the cache does not know that yet: build the next status on this one. */
  newest<T extends KubeObject>(kind: Kind<T>, cached: Stored<T>): Stored<T> {
    return this.#writes.newest(keyOf(kind, cached), cached);
  }

  /** True when it was written: the status was not yet `status`, or said more than it. Throws `not-found` when the object is gone. */
  async write<T extends KubeObject & WithStatus>(
    kind: Kind<T>,
    cached: Stored<T>,
    status: NonNullable<T['status']>,
    options: CallOptions = {},
  ): Promise<boolean> {
    const key = keyOf(kind, cached);
    const live = this.#writes.newest(key, cached) as WithStatus;
    const asked = JSON.stringify(status);
    if (isSame(status, live.status) || this.#writes.isSettled(key, asked, status, live.status)) return false;
    const { name, namespace, uid } = cached.metadata;
    const metadata = { name, ...(namespace !== undefined && { namespace }), uid };
    const object = await this.#client.applyStatus(kind, { metadata, status } as unknown as Desired<T>, options);
    this.#writes.remember(key, {
      object: object as unknown as Stored<KubeObject>,
      asked,
      rewritten: describe(status, (object as WithStatus).status),
    });
    return true;
  }

  /** Forgets a resource that is gone. */
  forget(kind: Kind, object: { readonly metadata: { readonly name: string; readonly namespace?: string } }): void {
    this.#writes.forget(keyOf(kind, object));
  }
}

/** As far as JSON can tell, the one has all that the other has. */
function isSame(status: unknown, live: unknown): boolean {
  return live !== undefined && differences(status, live).length === 0 && differences(live, status).length === 0;
}

const keyOf = (
  kind: Kind,
  { metadata }: { readonly metadata: { readonly name: string; readonly namespace?: string } },
): string => `${kind.apiVersion}/${kind.plural} ${objectKey(metadata)}`;
