/**
 * A real Kubernetes without nodes, as child processes: etcd and the API server, and with `controllers` also what turns Deployments
 * into pods, autoscales and collects garbage. Needs no rights and listens on this machine only; what runs pods lies in e2e/k8s.
 */
import { ChildServer, findProgram, freePort } from '@kafscale/runtime';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../eventually.ts';
import { EtcdServer } from '../etcd-server.ts';
import { ClusterCertificates, type ClusterUser } from './cluster-certificates.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { Kubectl } from './kubectl.ts';
import { controllerBinaries, kubeBinaries } from './kubernetes-programs.ts';

export interface ControlPlaneSettings {
  /** Deployments, autoscalers, service account tokens, garbage collection, and a scheduler; not unless set. */
  readonly controllers?: boolean;
  /** Where pods reach the API server; loopback when there are none. */
  readonly address?: string;
  /** Further command line flags. */
  readonly apiServerFlags?: readonly string[];
  readonly controllerFlags?: readonly string[];
}

/** The user who may do everything. */
const administrator: ClusterUser = { name: 'administrator', group: 'system:masters' };
const loopback = '127.0.0.1';
export const serviceRange = '10.96.0.0/16';
/** Where pods find the API server. */
const apiServiceAddress = '10.96.0.1';
export const clusterDomain = 'cluster.local';
const startTimeoutMs = 300_000;
/** Between questions to a server that starts. */
const pauseMs = 100;

export class ControlPlane {
  readonly etcd: EtcdServer;
  readonly certificates: ClusterCertificates;
  /** Where the logs and certificates are; gone after `close`. */
  readonly folder: string;
  readonly url: string;
  /** As the administrator. */
  readonly kubectl: Kubectl;
  readonly #launchApiServer: () => Promise<ChildServer>;
  readonly #others: ChildServer[] = [];
  #apiServer: ChildServer | undefined;

  private constructor(
    parts: Pick<ControlPlane, 'etcd' | 'certificates' | 'folder' | 'url' | 'kubectl'>,
    launchApiServer: () => Promise<ChildServer>,
  ) {
    this.etcd = parts.etcd;
    this.certificates = parts.certificates;
    this.folder = parts.folder;
    this.url = parts.url;
    this.kubectl = parts.kubectl;
    this.#launchApiServer = launchApiServer;
  }

  /** Resolves when the API server is ready, and the service accounts' controller when there are controllers. */
  static async start(settings: ControlPlaneSettings = {}): Promise<ControlPlane> {
    const binaries = await kubeBinaries();
    const etcd = await EtcdServer.start({ version: 'newest', durable: false });
    const folder = await mkdtemp(join(tmpdir(), 'kafscale-kubernetes-'));
    const { address = loopback } = settings;
    const port = await freePort();
    const url = `https://${address}:${port}`;
    const certificates = await ClusterCertificates.make(folder);
    const flags = await apiServerFlags({ settings, certificates, etcd, address, port, folder });
    const kubeconfig = await writeKubeconfig(join(folder, 'administrator.kubeconfig'), {
      url,
      authorityFile: certificates.authority.certFile,
      user: await certificates.client('administrator', administrator),
    });
    const kubectl = new Kubectl(binaries.kubectl, kubeconfig);
    const controlPlane = new ControlPlane({ etcd, certificates, folder, url, kubectl }, () =>
      startServer(folder, 'kube-apiserver', binaries['kube-apiserver'], flags),
    );
    try {
      await controlPlane.startApiServer();
      if (settings.controllers === true) await controlPlane.#startControllers(settings.controllerFlags ?? []);
    } catch (error) {
      await controlPlane.close();
      throw error;
    }
    return controlPlane;
  }

  get kubeconfig(): string {
    return this.kubectl.kubeconfig;
  }

  /** For tests that kill, pause or stop it; `startApiServer` starts it again on its port. */
  get apiServer(): ChildServer {
    if (this.#apiServer === undefined) throw new Error('the API server was not started');
    return this.#apiServer;
  }

  async startApiServer(): Promise<void> {
    this.#apiServer = await this.#launchApiServer();
    await eventually('the API server is ready', () => this.#isReady(), startTimeoutMs, pauseMs);
  }

  /** A kubeconfig for another user, who may do nothing until a role says so. */
  async kubeconfigFor(user: ClusterUser): Promise<string> {
    const fileName = user.name.replaceAll(/[^\w.-]/g, '-');
    return writeKubeconfig(join(this.folder, `${fileName}.kubeconfig`), {
      url: this.url,
      authorityFile: this.certificates.authority.certFile,
      user: await this.certificates.client(fileName, user),
    });
  }

  async #startControllers(flags: readonly string[]): Promise<void> {
    const binaries = await controllerBinaries();
    const { authority, serviceAccountKey } = this.certificates;
    const asUser = async (name: string): Promise<string[]> => {
      const kubeconfig = await this.kubeconfigFor({ name });
      const access = ['--kubeconfig', '--authentication-kubeconfig', '--authorization-kubeconfig'];
      return [
        ...access.map((flag) => `${flag}=${kubeconfig}`),
        ...[`--bind-address=${loopback}`, `--secure-port=${await freePort()}`, `--cert-dir=${this.folder}`],
        ...['--leader-elect=false', '--kube-api-qps=200', '--kube-api-burst=400'],
      ];
    };
    const controllerManager = [
      ...(await asUser('system:kube-controller-manager')),
      ...['--use-service-account-credentials', `--service-account-private-key-file=${serviceAccountKey}`],
      `--root-ca-file=${authority.certFile}`,
      ...[`--cluster-signing-cert-file=${authority.certFile}`, `--cluster-signing-key-file=${authority.keyFile}`],
      '--horizontal-pod-autoscaler-sync-period=2s',
      ...flags,
    ];
    const scheduler = await asUser('system:kube-scheduler');
    this.#others.push(
      ...(await Promise.all([
        startServer(this.folder, 'kube-controller-manager', binaries['kube-controller-manager'], controllerManager),
        startServer(this.folder, 'kube-scheduler', binaries['kube-scheduler'], scheduler),
      ])),
    );
    const hasServiceAccount = async (): Promise<boolean> =>
      (await this.kubectl.find('serviceaccount', 'default', 'default')) !== undefined;
    await eventually('the controllers work', hasServiceAccount, startTimeoutMs, pauseMs);
  }

  #isReady(): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request(`${this.url}/readyz`, { ...this.#asAdministrator(), agent: false }, (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      });
      asked.on('error', () => resolve(false));
      asked.end();
    });
  }

  #asAdministrator(): { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer } {
    const file = (name: string): Buffer => readFileSync(join(this.folder, name));
    const ca = readFileSync(this.certificates.authority.certFile);
    return { ca, cert: file('administrator.pem'), key: file('administrator-key.pem') };
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    await Promise.all(this.#others.map((server) => server.kill()));
    await this.#apiServer?.kill();
    await this.etcd.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Killed by the system when the test process is, where the system can do that. */
export function startServer(
  folder: string,
  name: string,
  program: string,
  args: readonly string[],
): Promise<ChildServer> {
  const setpriv = process.platform === 'linux' ? findProgram('setpriv') : undefined;
  const command = setpriv === undefined ? [program, ...args] : [setpriv, '--pdeathsig', 'KILL', program, ...args];
  return ChildServer.start({
    name,
    program: command[0]!,
    args: command.slice(1),
    logFile: join(folder, `${name}.log`),
    ready: /Serving securely/,
    readyTimeoutMs: startTimeoutMs,
  });
}

async function apiServerFlags(parts: {
  readonly settings: ControlPlaneSettings;
  readonly certificates: ClusterCertificates;
  readonly etcd: EtcdServer;
  readonly address: string;
  readonly port: number;
  readonly folder: string;
}): Promise<string[]> {
  const { settings, certificates, etcd, address, port, folder } = parts;
  const { authority, serviceAccountKey } = certificates;
  const serviceNames = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const serving = await certificates.server('kube-apiserver', {
    names: ['localhost', ...serviceNames, `kubernetes.default.svc.${clusterDomain}`],
    addresses: [...new Set([loopback, address, apiServiceAddress])],
  });
  const aggregator = await certificates.client('aggregator', { name: 'aggregator' });
  const kubelets = await certificates.client('kubelets-client', administrator);
  return [
    `--etcd-servers=${etcd.endpoints.map((endpoint) => `http://${endpoint}`).join(',')}`,
    ...[`--bind-address=${address}`, `--advertise-address=${address}`, `--secure-port=${port}`, `--cert-dir=${folder}`],
    // An address of loopback is no endpoint of a Service; without pods nobody asks for it.
    ...(address === loopback ? ['--endpoint-reconciler-type=none'] : []),
    ...[`--tls-cert-file=${serving.certFile}`, `--tls-private-key-file=${serving.keyFile}`],
    ...[`--client-ca-file=${authority.certFile}`, '--authorization-mode=Node,RBAC', '--allow-privileged=true'],
    ...[`--service-cluster-ip-range=${serviceRange}`, '--enable-admission-plugins=NodeRestriction'],
    `--service-account-issuer=https://kubernetes.default.svc.${clusterDomain}`,
    ...[`--service-account-key-file=${serviceAccountKey}`, `--service-account-signing-key-file=${serviceAccountKey}`],
    ...[`--proxy-client-cert-file=${aggregator.certFile}`, `--proxy-client-key-file=${aggregator.keyFile}`],
    ...[`--requestheader-client-ca-file=${authority.certFile}`, '--requestheader-allowed-names=aggregator'],
    ...['--requestheader-username-headers=X-Remote-User', '--requestheader-group-headers=X-Remote-Group'],
    ...['--requestheader-extra-headers-prefix=X-Remote-Extra-', '--enable-aggregator-routing=true'],
    // Logs and commands in pods go through it.
    ...[`--kubelet-client-certificate=${kubelets.certFile}`, `--kubelet-client-key=${kubelets.keyFile}`],
    ...[`--kubelet-certificate-authority=${authority.certFile}`, '--kubelet-preferred-address-types=InternalIP'],
    ...(settings.apiServerFlags ?? []),
  ];
}
