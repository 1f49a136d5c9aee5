/** The client that must notice nothing of all this. */
import { ErrorCode } from '@kafscale/protocol';
import { eventually, RawClient } from '@kafscale/testkit';
import { batch, batchesOf, createTopic, fetchFrom, produceTo } from '../broker-fixture.ts';

/** Produces to a topic of its own and reads every record back, round after round, and keeps what went wrong. */
export class HonestClient {
  readonly #client: RawClient;
  readonly #loop: Promise<void>;
  #rounds = 0;
  #isStopping = false;
  #failure: Error | undefined;

  private constructor(client: RawClient) {
    this.#client = client;
    this.#loop = this.#run().catch((error: unknown) => void (this.#failure = error as Error));
  }

  static async start(port: number): Promise<HonestClient> {
    const client = await RawClient.connect({ port, timeoutMs: 30_000 });
    await createTopic(client, 'honest');
    return new HonestClient(client);
  }

  /** Waits for a round that began after now; throws what went wrong in any round so far. */
  async check(): Promise<void> {
    const wanted = this.#rounds + 2;
    await eventually('two rounds of the honest client', () => this.#rounds >= wanted || this.#failure !== undefined);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async close(): Promise<void> {
    this.#isStopping = true;
    await this.#loop;
    await this.#client.close();
  }

  async #run(): Promise<void> {
    for (; !this.#isStopping; this.#rounds += 1) {
      const value = `value-${this.#rounds}`;
      const { errorCode, baseOffset } = await produceTo(this.#client, 'honest', 0, batch([value]));
      expect([errorCode, baseOffset]).toEqual([ErrorCode.NONE, this.#rounds]);
      const [read] = batchesOf(await fetchFrom(this.#client, 'honest', 0, { offset: baseOffset }));
      expect(read!.bytes.includes(value)).toBe(true);
    }
  }
}
