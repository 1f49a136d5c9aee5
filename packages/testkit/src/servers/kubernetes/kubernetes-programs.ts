/**
 * The programs of a real Kubernetes, each built once from its Go module into the cache folder: which versions, and nothing about how
 * they are started. They come in sets, so that a test of the API server alone does not wait for a kubelet.
 */
import { goPrograms, type GoPrograms } from '@kafscale/runtime';
import { join } from 'node:path';

/** 1.33: a line whose kubelet runs on cgroup v1 with containerd 1.6, and all of whose modules are served. */
const kubernetesMinor = 33;
const kubernetesPatch = 13;
export const kubernetesVersion = `v1.${kubernetesMinor}.${kubernetesPatch}`;
const helmVersion = 'v3.22.0';
const coreDnsVersion = 'v1.15.0';
const metricsServerVersion = 'v0.9.0';

/** Modules that lie in one tree with Kubernetes: its own go.mod names them without a version. */
const treeModules = [
  ...['api', 'apiextensions-apiserver', 'apimachinery', 'apiserver', 'cli-runtime', 'client-go', 'cloud-provider'],
  ...['cluster-bootstrap', 'code-generator', 'component-base', 'component-helpers', 'controller-manager', 'cri-api'],
  ...['cri-client', 'csi-translation-lib', 'dynamic-resource-allocation', 'endpointslice', 'externaljwt', 'kms'],
  ...['kube-aggregator', 'kube-controller-manager', 'kube-proxy', 'kube-scheduler', 'kubectl', 'kubelet', 'metrics'],
  ...['mount-utils', 'pod-security-admission', 'sample-apiserver', 'sample-cli-plugin', 'sample-controller'],
];

function kubernetesPrograms(name: string, commands: readonly string[]): GoPrograms {
  const version = { gitVersion: kubernetesVersion, gitMajor: '1', gitMinor: String(kubernetesMinor) };
  const versionPackages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  return {
    name,
    modules: { 'k8s.io/kubernetes': kubernetesVersion },
    replacements: Object.fromEntries(
      treeModules.map((module) => [`k8s.io/${module}`, `v0.${kubernetesMinor}.${kubernetesPatch}`]),
    ),
    programs: Object.fromEntries(commands.map((command) => [command, `k8s.io/kubernetes/cmd/${command}`])),
    variables: Object.fromEntries(
      versionPackages.flatMap((path) => Object.entries(version).map(([key, value]) => [`${path}.${key}`, value])),
    ),
  };
}

async function built<Name extends string>(programs: GoPrograms, names: readonly Name[]): Promise<Record<Name, string>> {
  const folder = await goPrograms(programs);
  return Object.fromEntries(names.map((name) => [name, join(folder, name)])) as Record<Name, string>;
}

const apiCommands = ['kube-apiserver', 'kubectl'] as const;
const controllerCommands = ['kube-controller-manager', 'kube-scheduler'] as const;
const nodeCommands = ['kubelet', 'kube-proxy'] as const;

/** Paths of the API server and of kubectl. */
export const kubeBinaries = (): Promise<Record<(typeof apiCommands)[number], string>> =>
  built(kubernetesPrograms('kubernetes-api', apiCommands), apiCommands);

/** Paths of what turns Deployments into pods and puts pods on nodes. */
export const controllerBinaries = (): Promise<Record<(typeof controllerCommands)[number], string>> =>
  built(kubernetesPrograms('kubernetes-controllers', controllerCommands), controllerCommands);

/** Paths of what runs pods on a node; containerd, runc and the CNI plugins are Debian's. */
export const nodeBinaries = (): Promise<Record<(typeof nodeCommands)[number], string>> =>
  built(kubernetesPrograms('kubernetes-node', nodeCommands), nodeCommands);

/** Path of helm, which renders for the Kubernetes above unless told otherwise. */
export async function helmBinary(): Promise<string> {
  const module = 'helm.sh/helm/v3';
  const variables = {
    [`${module}/internal/version.version`]: helmVersion,
    [`${module}/pkg/chartutil.k8sVersionMajor`]: '1',
    [`${module}/pkg/chartutil.k8sVersionMinor`]: String(kubernetesMinor),
  };
  const programs = { helm: `${module}/cmd/helm` };
  return (await built({ name: 'helm', modules: { [module]: helmVersion }, programs, variables }, ['helm'])).helm;
}

/** Path of the DNS server of a cluster. */
export async function coreDnsBinary(): Promise<string> {
  const module = 'github.com/coredns/coredns';
  const settings = {
    modules: { [module]: coreDnsVersion },
    programs: { coredns: '.' },
    sources: { 'main.go': coreDns },
  };
  return (await built({ name: 'coredns', ...settings }, ['coredns'])).coredns;
}

/** Without the plugins for clouds, which are most of what would have to be built. */
const coreDns = `package main

import (
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	dnsserver.Directives = []string{"bind", "errors", "kubernetes"}
	coremain.Run()
}
`;

/** Path of what answers `metrics.k8s.io`: CPU and memory of pods, from kubelets. */
export async function metricsServerBinary(): Promise<string> {
  const module = 'sigs.k8s.io/metrics-server';
  const name = 'metrics-server';
  const programs = { [name]: `${module}/cmd/metrics-server` };
  return (await built({ name, modules: { [module]: metricsServerVersion }, programs }, [name]))[name];
}
