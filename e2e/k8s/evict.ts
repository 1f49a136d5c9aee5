/** Eviction, as `kubectl drain` and autoscalers of nodes ask for it: refused for as long as a disruption budget says so. */
import { eventually, type Scenario } from './scenario.ts';

const timeoutMs = 240_000;

/** Resolves when the eviction was granted; the pod then ends in its own time. */
export async function evict(scenario: Scenario, pod: string): Promise<void> {
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: scenario.place(pod) };
  const path = `/api/v1/namespaces/${scenario.namespace}/pods/${pod}/eviction`;
  const granted = (): Promise<boolean> =>
    scenario.kubectl.run(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction)).then(
      () => true,
      (error: unknown) => {
        if (String(error).includes('disruption budget')) return false;
        throw error;
      },
    );
  await eventually(`${pod} may be evicted`, granted, timeoutMs);
}
