/** What scenarios share: the cluster that `KUBECONFIG` names, a namespace of their own, and what to print when something goes wrong. */
import { eventually as eventuallyAtPace, findProgram, Kubectl, runProgram, type KubeObject } from '@kafscale/testkit';
import { outsideNamespace } from './control-plane/addresses.ts';
import { pod, restrictedNamespace, type ContainerSettings } from './manifests.ts';

/** As the user of the kubeconfig that the runner sets. */
export function kubectlOfRunner(): Kubectl {
  const kubeconfig = process.env['KUBECONFIG'] ?? '';
  const program = findProgram('kubectl');
  if (kubeconfig === '' || program === undefined) throw new Error('run this by `make e2e-k8s`');
  return new Kubectl(program, kubeconfig);
}

/** Each question is a program run. */
const pauseMs = 250;

/** Resolves once `condition` holds; rejects with what was waited for when it does not within `timeoutMs`. */
export const eventually = (what: string, condition: () => Promise<boolean>, timeoutMs: number): Promise<void> =>
  eventuallyAtPace(what, condition, timeoutMs, pauseMs);

/** Runs a program that is not in the cluster: what it reaches, everybody on the node's network reaches. Only on the cluster of this machine. */
export const runOutside = (program: string, args: readonly string[]): Promise<string> =>
  runProgram('ip', ['netns', 'exec', outsideNamespace, program, ...args], { timeoutMs: 60_000 });

export interface PodStatus extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly deletionTimestamp?: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly state: { readonly terminated?: { readonly exitCode: number; readonly reason: string } };
    }[];
  };
}

interface ServiceObject {
  readonly spec: { readonly clusterIP: string };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
}

interface DeploymentObject {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly replicas: number };
  readonly status: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly availableReplicas?: number;
  };
}

/** A namespace of the strictest profile, gone at the end with all that is in it. */
export class Scenario {
  readonly kubectl: Kubectl;
  readonly namespace: string;

  private constructor(kubectl: Kubectl, namespace: string) {
    this.kubectl = kubectl;
    this.namespace = namespace;
  }

  static async begin(namespace: string): Promise<Scenario> {
    const kubectl = kubectlOfRunner();
    await kubectl.apply([restrictedNamespace(namespace)]);
    const scenario = new Scenario(kubectl, namespace);
    const hasAccount = async (): Promise<boolean> =>
      (await kubectl.find('serviceaccount', 'default', namespace)) !== undefined;
    await eventually('the namespace takes pods', hasAccount, 30_000);
    return scenario;
  }

  place(name: string): { readonly name: string; readonly namespace: string } {
    return { name, namespace: this.namespace };
  }

  apply(...objects: readonly object[]): Promise<string> {
    return this.kubectl.apply(objects);
  }

  /** Pods of a Deployment or of anything else whose pods carry its name as `app`. */
  pods(app: string): Promise<readonly PodStatus[]> {
    return this.kubectl.list<PodStatus>('pods', this.namespace, `app=${app}`);
  }

  podsOf(selector: string): Promise<readonly PodStatus[]> {
    return this.kubectl.list<PodStatus>('pods', this.namespace, selector);
  }

  /** The address at which the node and all pods reach a Service. */
  async clusterIp(service: string): Promise<string> {
    return (await this.kubectl.get<ServiceObject>('service', service, this.namespace)).spec.clusterIP;
  }

  /** Resolves when the Service of type LoadBalancer has an address. */
  async loadBalancerAddress(service: string): Promise<string> {
    const find = async (): Promise<string | undefined> =>
      (await this.kubectl.get<ServiceObject>('service', service, this.namespace)).status.loadBalancer.ingress?.[0]?.ip;
    await eventually('the load balancer has an address', async () => (await find()) !== undefined, 30_000);
    return (await find())!;
  }

  /** Resolves when all replicas of the Deployment are of its newest kind and available; rejects with what the cluster says about its pods. */
  async rolledOut(name: string, timeoutSeconds = 360): Promise<void> {
    const isRolledOut = async (): Promise<boolean> => {
      const { metadata, spec, status } = await this.kubectl.get<DeploymentObject>('deployment', name, this.namespace);
      const { observedGeneration = 0, replicas = 0, updatedReplicas = 0, availableReplicas = 0 } = status;
      const wanted = spec.replicas;
      if (observedGeneration < metadata.generation) return false;
      return [replicas, updatedReplicas, availableReplicas].every((count) => count === wanted);
    };
    await eventually(`${name} is rolled out`, isRolledOut, timeoutSeconds * 1_000).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await this.describe(name)}`, { cause: error });
    });
  }

  /** Runs a pod to its end and answers what it printed. Rejects when it ends with anything but 0. */
  async ask(name: string, settings: ContainerSettings, timeoutSeconds = 60): Promise<string> {
    await this.apply(pod(this.place(name), settings));
    const phase = (): Promise<string> =>
      this.kubectl.get<PodStatus>('pod', name, this.namespace).then(({ status }) => status.phase);
    const ended = async (): Promise<boolean> => ['Succeeded', 'Failed'].includes(await phase());
    await eventually(`pod ${name} ended`, ended, timeoutSeconds * 1_000);
    const printed = await this.logs(`pod/${name}`);
    if ((await phase()) !== 'Succeeded') throw new Error(`pod ${name} failed: ${printed}`);
    await this.kubectl.run(['delete', 'pod', name, '-n', this.namespace, '--wait=false']);
    return printed;
  }

  logs(of: string): Promise<string> {
    return this.kubectl.run(['logs', of, '-n', this.namespace, '--tail=-1']);
  }

  /** Pods, their latest events and the ends of the logs of a Deployment's, for a failure's message. */
  async describe(deployment: string): Promise<string> {
    const asked = [
      ['get', 'pods', '-o', 'wide'],
      ['get', 'events', '--sort-by=.lastTimestamp'],
      ['logs', `deployment/${deployment}`, '--all-pods', '--tail=40', '--prefix'],
    ];
    const answers = await Promise.all(
      asked.map((args) => this.kubectl.run([...args, '-n', this.namespace]).catch(String)),
    );
    return answers.join('\n');
  }

  async end(): Promise<void> {
    await this.kubectl.run(['delete', 'namespace', this.namespace, '--wait=false']);
  }
}
