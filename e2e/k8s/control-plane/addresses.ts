/**
 * Who has which address in the cluster of the tests. They exist only in a network namespace of its own, which has no way out of the
 * machine.
 */
export const nodeName = 'node-1';
/** Of the node, where the API server, DNS and node ports listen. */
export const nodeAddress = '10.10.0.1';
export const podRange = '10.244.0.0/16';
/** In the range of Services that the API server was given. */
export const dnsServiceAddress = '10.96.0.10';

/** Of somebody who is not in the cluster: a network namespace that reaches the node and what the node offers, and no pod. */
export const outsideNamespace = 'outside';
export const outsideAddress = '10.10.0.2';
/** The addresses that Services of type LoadBalancer get; the outside finds them by way of the node. */
export const loadBalancerRange = '10.10.1.0/24';
export const loadBalancerAddress = (number: number): string => `10.10.1.${number}`;
