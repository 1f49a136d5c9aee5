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
