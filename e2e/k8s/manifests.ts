/** Kubernetes objects of the scenarios, in the shape that namespaces of the strictest pod security profile demand. */
import { images } from './images.ts';

export type Labels = Readonly<Record<string, string>>;

/** Pods in it are refused unless they run without rights. */
export const restrictedNamespace = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
});

export interface ContainerSettings {
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Variables that hold fields of the pod, by name. */
  readonly podFields?: Readonly<Record<string, string>>;
  readonly ports?: Readonly<Record<string, number>>;
  /** Folders that it may write to; each is empty at its start. */
  readonly folders?: readonly string[];
  /** Asked by HTTP until it says that it serves. */
  readonly ready?: { readonly path: string; readonly port: number };
  readonly graceSeconds?: number;
}

/** As a user without rights, on a read-only file system, without a token for the API. */
export function podSpec(settings: ContainerSettings): object {
  const {
    image,
    command,
    args,
    env = {},
    podFields = {},
    ports = {},
    folders = [],
    ready,
    graceSeconds = 2,
  } = settings;
  const volumes = folders.map((_, index) => ({ name: `folder-${index}`, emptyDir: {} }));
  return {
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: graceSeconds,
    securityContext: { runAsNonRoot: true, fsGroup: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'main',
        image,
        imagePullPolicy: 'Never',
        ...(command !== undefined && { command }),
        ...(args !== undefined && { args }),
        env: [
          ...Object.entries(env).map(([name, value]) => ({ name, value })),
          ...Object.entries(podFields).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } })),
        ],
        ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
        volumeMounts: folders.map((mountPath, index) => ({ name: `folder-${index}`, mountPath })),
        ...(ready !== undefined && { readinessProbe: { httpGet: ready, periodSeconds: 1 } }),
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
      },
    ],
    volumes,
  };
}

export interface Place {
  readonly name: string;
  readonly namespace: string;
}

/** Its pods carry the label `app` with its name. */
export function deployment(place: Place, replicas: number, settings: ContainerSettings): object {
  const labels = { app: place.name };
  const template = { metadata: { labels }, spec: podSpec(settings) };
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: place, spec };
}

/** Reaches the pods with the label `app` of its name, or `of`, or with other `labels`, at these ports. */
export function service(
  place: Place,
  ports: Readonly<Record<string, number>>,
  more: {
    readonly of?: string;
    readonly labels?: Labels;
    readonly type?: 'NodePort' | 'LoadBalancer';
    readonly headless?: boolean;
  } = {},
): object {
  const { of = place.name, labels = { app: of }, type, headless = false } = more;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: place,
    spec: {
      selector: labels,
      ports: Object.entries(ports).map(([name, port]) => ({ name, port })),
      ...(type !== undefined && { type }),
      ...(headless && { clusterIP: 'None', publishNotReadyAddresses: true }),
    },
  };
}

/** Runs to its end once; what it prints is the answer. */
export function pod(place: Place, settings: ContainerSettings): object {
  const spec = { ...podSpec(settings), restartPolicy: 'Never' };
  return { apiVersion: 'v1', kind: 'Pod', metadata: place, spec };
}

/** A program of Node's, given as text. */
export const nodeProgram = (program: string, ...args: readonly string[]): ContainerSettings => ({
  image: images.kafscale,
  command: ['/usr/bin/node', '--eval', program, ...args],
});
