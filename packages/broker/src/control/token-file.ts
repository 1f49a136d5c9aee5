/**
 * The tokens of the control API, from a file that is read again when it changes. Each line is one: whoever replaces a token keeps the
 * old one below the new until everybody has that. While the file cannot be read, nobody is let in.
 */
import type { Clock, Logger } from '@kafscale/runtime';
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';

export interface TokenFileDependencies {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The file is read again after this time, when somebody asks. */
const readAgainMs = 1_000;
/** A shorter one could be guessed. */
const minTokenLength = 16;
const bearer = /^Bearer +(\S+)$/i;

export class TokenFile {
  readonly #dependencies: TokenFileDependencies;
  #tokens: readonly string[];
  #readAtMs: number;
  #reading: Promise<void> | undefined;

  private constructor(dependencies: TokenFileDependencies, tokens: readonly string[]) {
    this.#dependencies = dependencies;
    this.#tokens = tokens;
    this.#readAtMs = dependencies.clock.monotonicMs();
  }

  /** Throws when the file cannot be read or has no token. */
  static async open(dependencies: TokenFileDependencies): Promise<TokenFile> {
    return new TokenFile(dependencies, await readTokens(dependencies.path));
  }

  /** What `authorization` a call of ours is to carry. */
  async authorization(): Promise<string | undefined> {
    await this.#look();
    const [first] = this.#tokens;
    return first === undefined ? undefined : `Bearer ${first}`;
  }

  /** Whether this is one of the tokens; takes as long for any that is not. */
  async allows(authorization: string): Promise<boolean> {
    await this.#look();
    const given = digest(bearer.exec(authorization)?.[1] ?? '');
    let isAllowed = false;
    for (const token of this.#tokens) if (timingSafeEqual(given, digest(token))) isAllowed = true;
    return isAllowed;
  }

  /** One read serves all who ask while it runs. */
  #look(): Promise<void> {
    const { clock } = this.#dependencies;
    if (clock.monotonicMs() - this.#readAtMs < readAgainMs) return this.#reading ?? Promise.resolve();
    this.#readAtMs = clock.monotonicMs();
    this.#reading = this.#readAgain().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readAgain(): Promise<void> {
    const { path, logger } = this.#dependencies;
    try {
      this.#tokens = await readTokens(path);
    } catch (error) {
      if (this.#tokens.length > 0) logger.error({ err: error }, 'the token cannot be read; nobody is let in');
      this.#tokens = [];
    }
  }
}

const digest = (token: string) => createHash('sha256').update(token).digest();

async function readTokens(path: string): Promise<readonly string[]> {
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/).map((line) => line.trim());
  const tokens = lines.filter((line) => line !== '');
  if (tokens.length === 0) throw new Error(`${path}: expected a token`);
  if (tokens.some((token) => token.length < minTokenLength || /\s/.test(token))) {
    throw new Error(`${path}: expected tokens of at least ${minTokenLength} characters without blanks, one per line`);
  }
  return tokens;
}
