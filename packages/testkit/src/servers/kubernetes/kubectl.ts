/** kubectl bound to one cluster: what a user would type, and the few questions that tests ask all the time. */
import { ProgramError, runProgram } from '@kafscale/runtime';

const commandTimeoutMs = 300_000;

/** Any object of the API as JSON; a test names the fields that it reads. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export class Kubectl {
  readonly #program: string;
  readonly kubeconfig: string;

  constructor(program: string, kubeconfig: string) {
    this.#program = program;
    this.kubeconfig = kubeconfig;
  }

  /** Answers what it prints; rejects with ProgramError and what it says on standard error. */
  run(args: readonly string[], input?: string): Promise<string> {
    const options = { timeoutMs: commandTimeoutMs, env: { KUBECONFIG: this.kubeconfig } };
    return runProgram(this.#program, args, { ...options, ...(input !== undefined && { input }) });
  }

  /** Server-side apply of objects or of a manifest as text, as a user of its own. */
  apply(what: string | readonly object[], ...flags: readonly string[]): Promise<string> {
    const manifest = typeof what === 'string' ? what : JSON.stringify({ apiVersion: 'v1', kind: 'List', items: what });
    return this.run(['apply', '--server-side', ...flags, '-f', '-'], manifest);
  }

  /** One object, or undefined when there is none of that name. */
  async find<T = KubeObject>(resource: string, name: string, namespace?: string): Promise<T | undefined> {
    const printed = await this.run([
      'get',
      resource,
      name,
      '--ignore-not-found',
      '-o',
      'json',
      ...inNamespace(namespace),
    ]);
    return printed === '' ? undefined : (JSON.parse(printed) as T);
  }

  /** One object. Rejects when there is none of that name. */
  async get<T = KubeObject>(resource: string, name: string, namespace?: string): Promise<T> {
    const found = await this.find<T>(resource, name, namespace);
    if (found === undefined) throw new ProgramError(`no ${resource} named ${name}`);
    return found;
  }

  /** Every object of a kind in the namespace, or everywhere; `selector` is one of labels. */
  async list<T = KubeObject>(resource: string, namespace?: string, selector?: string): Promise<readonly T[]> {
    const where = namespace === undefined ? ['--all-namespaces'] : inNamespace(namespace);
    const printed = await this.run([
      ...['get', resource, '-o', 'json', ...where],
      ...(selector === undefined ? [] : ['--selector', selector]),
    ]);
    return (JSON.parse(printed) as { readonly items: readonly T[] }).items;
  }

  /** Resolves when the object is so; `condition` is one of `kubectl wait --for`. */
  async wait(resource: string, condition: string, namespace?: string, timeoutSeconds = 60): Promise<void> {
    await this.run(['wait', resource, `--for=${condition}`, `--timeout=${timeoutSeconds}s`, ...inNamespace(namespace)]);
  }
}

const inNamespace = (namespace: string | undefined): string[] => (namespace === undefined ? [] : ['-n', namespace]);
