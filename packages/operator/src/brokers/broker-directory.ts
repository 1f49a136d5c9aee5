/** The brokers of all clusters by the address of their pods, each called with its own cluster's token. */
import type { Clock } from '@kafscale/runtime';
import { createHash, timingSafeEqual } from 'node:crypto';
import { ControlClients, type ControlClient } from './control-client.ts';

/** What is asked of a broker; the client that keeps to it is `ControlClient`. */
export type BrokerCalls = Pick<ControlClient, 'status' | 'setCordon' | 'drain' | 'flush' | 'watchAssignments'>;

export interface BrokerDirectory {
  /** The broker whose pod has this address. */
  at(cluster: string, ip: string): BrokerCalls;
}

interface Known {
  token: string;
  readonly clients: ControlClients;
}

export interface ControlDirectorySettings {
  readonly clock: Clock;
  /** Of control ports. */
  readonly port: number;
  /** Of calls without a limit of their own: a broker that does not answer by then is asked again at the next look. */
  readonly callDeadlineMs?: number;
}

const defaultCallDeadlineMs = 3_000;

export class ControlDirectory implements BrokerDirectory {
  readonly #settings: ControlDirectorySettings;
  /** By `namespace/name` of the cluster. */
  readonly #clusters = new Map<string, Known>();

  constructor(settings: ControlDirectorySettings) {
    this.#settings = settings;
  }

  /** To be told before its brokers are called. */
  setToken(cluster: string, token: string): void {
    const known = this.#clusters.get(cluster);
    if (known !== undefined) {
      known.token = token;
      return;
    }
    const { clock, callDeadlineMs = defaultCallDeadlineMs } = this.#settings;
    const clients = new ControlClients({
      ...{ clock, callDeadlineMs },
      token: () => Promise.resolve(this.#clusters.get(cluster)?.token),
    });
    this.#clusters.set(cluster, { token, clients });
  }

  at(cluster: string, ip: string): BrokerCalls {
    const known = this.#clusters.get(cluster);
    if (known === undefined) throw new Error(`the token of ${cluster} is not known`);
    return known.clients.of(this.#address(ip));
  }

  /** Closes the channels to pods that are gone. */
  retain(cluster: string, ips: readonly string[]): void {
    this.#clusters.get(cluster)?.clients.retain(new Set(ips.map((ip) => this.#address(ip))));
  }

  forget(cluster: string): void {
    this.#clusters.get(cluster)?.clients.close();
    this.#clusters.delete(cluster);
  }

  /** Whose token this is. Takes as long for each that is nobody's. */
  clusterOf(token: string): string | undefined {
    const given = digest(token);
    let owner: string | undefined;
    for (const [cluster, known] of this.#clusters) {
      if (timingSafeEqual(given, digest(known.token))) owner = cluster;
    }
    return owner;
  }

  close(): void {
    for (const cluster of [...this.#clusters.keys()]) this.forget(cluster);
  }

  #address(ip: string): string {
    return `${ip.includes(':') ? `[${ip}]` : ip}:${this.#settings.port}`;
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
