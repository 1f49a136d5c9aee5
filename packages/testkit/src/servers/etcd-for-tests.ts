/**
 * The etcd that a test runs on which needs no fault of it and fills keys of its own only: one of ours, or the one whose addresses
 * `KAFSCALE_TEST_ETCD_ENDPOINTS` gives. Tests that stop, fill or replace etcd start an EtcdServer, and are left out, by name and
 * counted, where addresses are given: then that etcd is what is to be tested, and it is somebody's.
 */
import { etcdVersions, type EtcdVersion } from './etcd-programs.ts';
import { EtcdServer } from './etcd-server.ts';

export interface EtcdForTests {
  /** As clients take them. */
  readonly endpoints: readonly string[];
  close(): Promise<void>;
}

export interface EtcdChoice {
  readonly name: string;
  start(): Promise<EtcdForTests>;
}

/** `host:port` of each member; undefined where tests start their own. */
export function givenEtcdEndpoints(env: NodeJS.ProcessEnv = process.env): readonly string[] | undefined {
  const given = (env['KAFSCALE_TEST_ETCD_ENDPOINTS'] ?? '').split(/[ ,]+/).filter((text) => text !== '');
  return given.length === 0 ? undefined : given.map((address) => address.replace(/^http:\/\/|\/$/g, ''));
}

/** Every version of ours, or the one that is given. */
export function etcdChoices(
  versions: readonly [EtcdVersion, ...EtcdVersion[]] = etcdVersions,
  env: NodeJS.ProcessEnv = process.env,
): readonly [EtcdChoice, ...EtcdChoice[]] {
  const endpoints = givenEtcdEndpoints(env);
  if (endpoints !== undefined) {
    const given: EtcdForTests = { endpoints, close: () => Promise.resolve() };
    return [{ name: `etcd at ${endpoints.join(', ')}`, start: () => Promise.resolve(given) }];
  }
  const [first, ...others] = versions.map((version) => ({
    name: `etcd (${version})`,
    start: () => EtcdServer.start({ version, durable: false }),
  }));
  return [first!, ...others];
}
