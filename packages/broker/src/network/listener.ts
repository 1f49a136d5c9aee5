/**
 * The Kafka listener: accepts connections within limits, checks their deadlines, and at the end lets requests in work finish
 * before it closes what is left.
 */
import type { BrokerConfig } from '@kafscale/protocol';
import type { CancelTimer, Clock, Logger, RecordMemory } from '@kafscale/runtime';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { MemoryShares } from '../config/memory-shares.ts';
import type { HandlerRegistry } from '../handlers/registry.ts';
import type { Services } from '../handlers/services.ts';
import type { BrokerMetrics } from '../metrics/metrics.ts';
import { RequestMetrics } from '../metrics/request-metrics.ts';
import { AcceptLimits } from './accept-limits.ts';
import { Connection, type ConnectionDeps } from './connection.ts';
import { Dispatcher } from './dispatcher.ts';
import { FrameMemory, landingBytes } from './frame-memory.ts';
import { InFlightBudget } from './in-flight-budget.ts';
import { LimitedLog } from './limited-log.ts';

export type ListenerConfig = Pick<
  BrokerConfig,
  | 'kafkaAddress'
  | 'maxRequestBytes'
  | 'maxInFlightRequests'
  | 'frameDeadlineMs'
  | 'writeStallMs'
  | 'idleTimeoutMs'
  | 'maxConnections'
  | 'maxConnectionsPerIp'
  | 'maxConnectionsPerSecond'
  | 'shutdownTimeoutMs'
>;

export interface ListenerDeps {
  readonly config: ListenerConfig;
  readonly registry: HandlerRegistry;
  readonly services: Services;
  /** What requests and everything else that holds records lie in. */
  readonly memory: RecordMemory;
  readonly shares: Pick<MemoryShares, 'maxInFlightBytes' | 'readingBytes' | 'answerBytes'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
}

const maxReadingLargeSlabs = 32;
/** Left free for flushes, which are copied out of requests before these give their memory back. */
const copiedSlabs = 2;
/** Connections the kernel completes for us while we are busy. */
const acceptBacklog = 4_096;
const keepAliveDelayMs = 60_000;
const sweepIntervalMs = 1_000;
/** How often waiting connections are looked at while more come than may be started. */
const admitIntervalMs = 10;

interface WaitingSocket {
  readonly socket: Socket;
  readonly address: string;
}

export class Listener {
  readonly #deps: ListenerDeps;
  readonly #connectionDeps: ConnectionDeps;
  readonly #server: Server;
  readonly #limits: AcceptLimits;
  readonly #budget: InFlightBudget;
  /** What counts what is here. */
  readonly #endCounting: readonly (() => void)[];
  readonly #connections = new Set<Connection>();
  readonly #waiting: WaitingSocket[] = [];
  #nextConnectionId = 1;
  #cancelSweep: CancelTimer = () => undefined;
  #cancelAdmit: CancelTimer | undefined;
  #closing: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  private constructor(deps: ListenerDeps) {
    const { config, clock, metrics, logger, memory: records, shares } = deps;
    this.#deps = deps;
    this.#limits = new AcceptLimits(config, clock.monotonicMs());
    const roomBytes = () => records.roomBytes - copiedSlabs * records.pool.slabBytes;
    const memory = new FrameMemory({
      pool: records.pool,
      maxReadingLargeSlabs,
      maxBytes: shares.readingBytes,
      roomBytes,
    });
    const budget = new InFlightBudget({ maxBytes: shares.maxInFlightBytes, floorBytes: landingBytes, roomBytes });
    this.#budget = budget;
    const log = new LimitedLog(logger, clock);
    const requests = new RequestMetrics(metrics, clock);
    this.#connectionDeps = {
      dispatcher: new Dispatcher({ registry: deps.registry, services: deps.services, clock, log, metrics: requests }),
      memory,
      budget,
      clock,
      log,
      limits: config,
      onReceived: (bytes) => metrics.receivedBytes.inc(bytes),
      onSent: (bytes) => metrics.sentBytes.inc(bytes),
      answersAreMany: () => records.heldFor('answers') > shares.answerBytes,
      onClosed: (connection, reason) => {
        metrics.connectionsClosed.inc({ reason });
        this.#onConnectionClosed(connection);
      },
    };
    const report = () => {
      metrics.connections.set(this.#limits.total);
      metrics.inFlightRequestBytes.set(budget.usedBytes);
      metrics.requestMemoryBytes.set(memory.bytesInUse);
    };
    this.#endCounting = [
      records.countOutside('requests', () => memory.outsideBytes),
      records.count('requests', () => memory.keptBytes - memory.outsideBytes),
      () => requests.close(),
      metrics.beforeScrape(report),
      report,
    ];
    this.#server = createServer(
      { pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveDelayMs },
      (socket) => this.#onAccepted(socket),
    );
  }

  /** Listens; rejects with the system's error when the address cannot be had. */
  static async start(deps: ListenerDeps): Promise<Listener> {
    const listener = new Listener(deps);
    try {
      await listener.#listen();
    } catch (error) {
      listener.#release();
      throw error;
    }
    return listener;
  }

  /** The port that is listened on, also where port 0 was asked for. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connectionCount(): number {
    return this.#limits.total;
  }

  /** Takes no more requests, waits until those in work are answered or `limitMs` are over, then closes everything. */
  close(limitMs = this.#deps.config.shutdownTimeoutMs): Promise<void> {
    this.#closing ??= this.#finish(limitMs);
    return this.#closing;
  }

  #listen(): Promise<void> {
    const { host, port } = this.#deps.config.kafkaAddress;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, backlog: acceptBacklog, ...(host !== undefined && { host }) }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#deps.logger.error({ err: error }, 'listener failed to accept'));
        this.#planSweep();
        resolve();
      });
    });
  }

  #onAccepted(socket: Socket): void {
    const address = socket.remoteAddress;
    if (address === undefined) {
      socket.destroy(); // it is gone already
      return;
    }
    const refusal = this.#closing === undefined ? this.#limits.admit(address) : 'shutdown';
    if (refusal !== undefined) {
      this.#deps.metrics.connectionsRefused.inc({ reason: refusal });
      this.#connectionDeps.log.info({ remoteAddress: address, reason: refusal }, 'connection refused');
      socket.on('error', () => undefined).destroy();
      return;
    }
    if (this.#waiting.length === 0 && this.#limits.tryStart(this.#deps.clock.monotonicMs()))
      this.#begin(socket, address);
    else this.#wait({ socket, address });
  }

  #begin(socket: Socket, address: string): void {
    this.#deps.metrics.connectionsOpened.inc();
    this.#connections.add(new Connection(socket, this.#nextConnectionId, address, this.#connectionDeps));
    this.#nextConnectionId += 1;
  }

  #wait(waiting: WaitingSocket): void {
    waiting.socket.on('error', () => undefined);
    this.#waiting.push(waiting);
    this.#cancelAdmit ??= this.#deps.clock.schedule(admitIntervalMs, () => this.#admitWaiting());
  }

  #admitWaiting(): void {
    this.#cancelAdmit = undefined;
    const nowMs = this.#deps.clock.monotonicMs();
    let started = 0;
    for (const { socket, address } of this.#waiting) {
      if (!this.#limits.tryStart(nowMs)) break;
      started += 1;
      if (socket.destroyed) this.#limits.leave(address);
      else this.#begin(socket, address);
    }
    this.#waiting.splice(0, started);
    if (this.#waiting.length > 0) {
      this.#cancelAdmit = this.#deps.clock.schedule(admitIntervalMs, () => this.#admitWaiting());
    }
  }

  #planSweep(): void {
    const { frameDeadlineMs, idleTimeoutMs, writeStallMs } = this.#deps.config;
    const intervalMs = Math.min(sweepIntervalMs, frameDeadlineMs / 4, idleTimeoutMs / 4, writeStallMs / 4);
    this.#cancelSweep = this.#deps.clock.schedule(intervalMs, () => {
      const nowMs = this.#deps.clock.monotonicMs();
      for (const connection of this.#connections) connection.sweep(nowMs);
      this.#budget.lookAgain();
      this.#planSweep();
    });
  }

  #onConnectionClosed(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#limits.leave(connection.remoteAddress);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  async #finish(limitMs: number): Promise<void> {
    const { clock, logger } = this.#deps;
    this.#server.close();
    this.#cancelAdmit?.();
    for (const { socket, address } of this.#waiting.splice(0)) {
      socket.destroy();
      this.#limits.leave(address);
    }
    for (const connection of this.#connections) connection.finish();
    if (this.#connections.size > 0) {
      const empty = new Promise<void>((resolve) => (this.#onEmpty = resolve));
      const cancelDeadline = clock.schedule(limitMs, () => {
        logger.warn({ connections: this.#connections.size }, 'requests in work given up at shutdown');
        for (const connection of this.#connections) connection.destroy('shutdown');
      });
      await empty;
      cancelDeadline();
    }
    this.#cancelSweep();
    this.#release();
  }

  /** What outlives it holds nothing of it: with it goes a whole life of the broker. */
  #release(): void {
    this.#connectionDeps.memory.close();
    for (const end of this.#endCounting) end();
  }
}
