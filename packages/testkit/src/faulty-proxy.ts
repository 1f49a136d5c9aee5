/**
 * A TCP proxy that behaves badly on order, between a client under test and a real server. Each direction has a mode of its own, for
 * the connections there are and those to come: so a request can pass and its answer not, bytes can vanish without a sign, or arrive
 * long after their sender has given up and gone.
 */
import { freePort } from '@kafscale/runtime';
import { createServer, connect, type Server, type Socket } from 'node:net';

/** `toServer`: what the client sends. `toClient`: what the server sends. */
export type ProxyDirection = 'toServer' | 'toClient';

/**
 * - `pass`: as it comes.
 * - `hold`: kept, in order, until the direction passes again. The end of the connection is kept too.
 * - `drop`: taken and thrown away, the end of the connection as well; what was held before stays held.
 */
export type ProxyMode = 'pass' | 'hold' | 'drop';

export interface FaultyProxySettings {
  /** Address that the proxy listens on; 127.0.0.1 unless set. */
  readonly listenHost?: string;
  readonly host?: string;
  /** Port of the server. */
  readonly port: number;
}

/** Half of a connection: from one socket to the other. */
class Flow {
  readonly #from: Socket;
  readonly #to: Socket;
  #mode: ProxyMode;
  #delayMs: number;
  #held: (Buffer | 'end')[] = [];
  /** Bytes that came in. */
  received = 0;

  constructor(from: Socket, to: Socket, { mode, delayMs }: { mode: ProxyMode; delayMs: number }) {
    this.#from = from;
    this.#to = to;
    this.#mode = mode;
    this.#delayMs = delayMs;
    from.on('data', (bytes) => {
      this.received += bytes.length;
      this.#take(bytes);
    });
    from.on('close', () => this.#take('end'));
  }

  get heldBytes(): number {
    return this.#held.reduce((sum, piece) => sum + (piece === 'end' ? 0 : piece.length), 0);
  }

  become(mode: ProxyMode, delayMs: number): void {
    this.#mode = mode;
    this.#delayMs = delayMs;
    if (mode === 'pass') this.deliverHeld();
  }

  /** Hands on what was held, whatever becomes of what follows. */
  deliverHeld(): void {
    for (const piece of this.#held.splice(0)) this.#pass(piece);
  }

  destroy(): void {
    this.#from.resetAndDestroy();
  }

  #take(piece: Buffer | 'end'): void {
    if (this.#mode === 'hold') this.#held.push(piece);
    else if (this.#mode === 'pass' && this.#delayMs > 0) setTimeout(() => this.#pass(piece), this.#delayMs);
    else if (this.#mode === 'pass') this.#pass(piece);
  }

  #pass(piece: Buffer | 'end'): void {
    if (piece === 'end') this.#to.destroy();
    else if (!this.#to.destroyed) this.#to.write(piece);
  }
}

interface Link {
  readonly toServer: Flow;
  readonly toClient: Flow;
}

export class FaultyProxy {
  readonly port: number;
  readonly #settings: FaultyProxySettings;
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #modes: Record<ProxyDirection, { mode: ProxyMode; delayMs: number }> = {
    toServer: { mode: 'pass', delayMs: 0 },
    toClient: { mode: 'pass', delayMs: 0 },
  };
  #refuses = false;

  private constructor(port: number, settings: FaultyProxySettings) {
    this.port = port;
    this.#settings = settings;
    this.#server = createServer({ noDelay: true }, (client) => this.#join(client));
  }

  static async start(settings: FaultyProxySettings): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(await freePort(), settings);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(proxy.port, proxy.#host, resolve);
    });
    return proxy;
  }

  get #host(): string {
    return this.#settings.listenHost ?? '127.0.0.1';
  }

  /** `host:port`, as clients take it. */
  get endpoint(): string {
    return `${this.#host}:${this.port}`;
  }

  /** Connections that have not ended on both sides. */
  get connections(): number {
    return this.#links.size;
  }

  /** Bytes of a direction that are held now. */
  heldBytes(direction: ProxyDirection): number {
    let bytes = 0;
    for (const link of this.#links) bytes += link[direction].heldBytes;
    return bytes;
  }

  /** Bytes that came from either side, whatever became of them. */
  receivedBytes(direction: ProxyDirection): number {
    let bytes = 0;
    for (const link of this.#links) bytes += link[direction].received;
    return bytes;
  }

  /** Everything works again: modes, delays and new connections. What was held arrives now. */
  heal(): void {
    this.#refuses = false;
    this.#become('toServer', 'pass', 0);
    this.#become('toClient', 'pass', 0);
  }

  hold(direction: ProxyDirection): void {
    this.#become(direction, 'hold', 0);
  }

  drop(direction: ProxyDirection): void {
    this.#become(direction, 'drop', 0);
  }

  pass(direction: ProxyDirection): void {
    this.#become(direction, 'pass', 0);
  }

  delay(direction: ProxyDirection, delayMs: number): void {
    this.#become(direction, 'pass', delayMs);
  }

  /** Both directions swallow everything: the other side is gone without a word. New connections are taken and never answered. */
  blackhole(): void {
    this.drop('toServer');
    this.drop('toClient');
  }

  /** The connections there are fall silent in both directions, without a sign to either side; new ones work. */
  freeze(): void {
    for (const { toServer, toClient } of this.#links) {
      toServer.become('drop', 0);
      toClient.become('drop', 0);
    }
  }

  /** What is held in `direction` arrives, also from connections whose sender is gone; the mode stays. */
  deliverHeld(direction: ProxyDirection): void {
    for (const link of this.#links) link[direction].deliverHeld();
  }

  /** Every connection is reset on both sides; what was held is lost. */
  reset(): void {
    for (const link of [...this.#links]) {
      link.toServer.destroy();
      link.toClient.destroy();
      this.#links.delete(link);
    }
  }

  /** New connections are reset from now on. */
  refuse(): void {
    this.#refuses = true;
  }

  async close(): Promise<void> {
    this.reset();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #become(direction: ProxyDirection, mode: ProxyMode, delayMs: number): void {
    this.#modes[direction] = { mode, delayMs };
    for (const link of this.#links) link[direction].become(mode, delayMs);
  }

  #join(client: Socket): void {
    if (this.#refuses) {
      client.resetAndDestroy();
      return;
    }
    const { host = '127.0.0.1', port } = this.#settings;
    const server = connect({ host, port, noDelay: true });
    for (const socket of [client, server]) socket.on('error', () => undefined);
    const link = {
      toServer: new Flow(client, server, this.#modes.toServer),
      toClient: new Flow(server, client, this.#modes.toClient),
    };
    this.#links.add(link);
    const forget = (): void => {
      if (client.destroyed && server.destroyed) this.#links.delete(link);
    };
    client.on('close', forget);
    server.on('close', forget);
  }
}
