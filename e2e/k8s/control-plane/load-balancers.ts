/** Addresses for Services of type LoadBalancer, as a cloud gives them; kube-proxy does the rest. */
import type { Kubectl } from '@kafscale/testkit';
import { loadBalancerAddress } from './addresses.ts';
import { Repeated } from './repeated.ts';

interface ServiceObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly type: string };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip?: string }[] } };
}

/** Gives every such Service an address of its own until it is closed. */
export function giveAddresses(kubectl: Kubectl): Repeated {
  let given = 0;
  return new Repeated(async () => {
    const services = await kubectl.list<ServiceObject>('services');
    for (const { metadata, spec, status } of services) {
      if (spec.type !== 'LoadBalancer' || status.loadBalancer.ingress !== undefined) continue;
      given += 1;
      const patch = { status: { loadBalancer: { ingress: [{ ip: loadBalancerAddress(given) }] } } };
      const place = ['service', metadata.name, '-n', metadata.namespace];
      await kubectl.run(['patch', ...place, '--subresource=status', '--type=merge', '-p', JSON.stringify(patch)]);
    }
  });
}
