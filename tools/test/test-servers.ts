/**
 * The servers that suites start and that are built from Go modules. Building begins with the run and goes on beside the suites that
 * need none of it, one server after the other; a suite that needs one waits for it by name.
 */
import {
  buildEtcd,
  buildMinio,
  buildVersitygw,
  controllerBinaries,
  helmBinary,
  kubeBinaries,
  newestEtcdVersion,
  previousEtcdVersion,
} from '@kafscale/testkit';

export type TestServerName = 'etcd' | 'etcd 3.5' | 'minio' | 'versitygw' | 'kubernetes' | 'helm';

const builds: Readonly<Record<TestServerName, () => Promise<unknown>>> = {
  etcd: () => buildEtcd(newestEtcdVersion),
  'etcd 3.5': () => buildEtcd(previousEtcdVersion),
  minio: () => buildMinio(),
  versitygw: buildVersitygw,
  kubernetes: () => kubeBinaries().then(controllerBinaries),
  helm: helmBinary,
};

/** Long enough to say who is waited for. */
const announcedAfterMs = 2_000;

export class TestServers {
  readonly #built = new Map<TestServerName, Promise<unknown>>();

  /** Begins to build them, in this order. */
  constructor(names: readonly TestServerName[]) {
    let before: Promise<unknown> = Promise.resolve();
    for (const name of new Set(names)) {
      const build = before.then(builds[name]);
      before = build.catch(() => undefined); // it fails where it is waited for
      this.#built.set(name, build);
    }
  }

  /** Resolves when all of them are built. Rejects with what the compiler said. */
  async ready(names: readonly TestServerName[]): Promise<void> {
    const waited = Promise.all(
      names.map((name) => this.#built.get(name) ?? Promise.reject(new Error(`${name} cannot be built without go`))),
    );
    const startedMs = performance.now();
    const timer = setTimeout(
      () => console.log(`        waiting for ${names.join(', ')} to be built`),
      announcedAfterMs,
    );
    try {
      await waited;
    } finally {
      clearTimeout(timer);
    }
    const seconds = (performance.now() - startedMs) / 1_000;
    if (seconds * 1_000 > announcedAfterMs) console.log(`        built; that took ${seconds.toFixed(1)} s`);
  }
}
