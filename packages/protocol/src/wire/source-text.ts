// Building the source text of a codec: lines, fresh names, and constants handed in from outside. Only declarations end up in it,
// never a byte of input.

export class SourceText {
  readonly #lines: string[] = [];
  readonly #constants = new Map<string, unknown>();
  #names = 0;

  line(text: string): void {
    this.#lines.push(text);
  }

  /** A local name not used yet. */
  name(): string {
    return `v${this.#names++}`;
  }

  /** The name under which the code sees `value`. */
  constant(value: unknown): string {
    const name = `k${this.#constants.size}`;
    this.#constants.set(name, value);
    return name;
  }

  /** The function `(…parameters) => { lines }`, seeing the constants and `library`. */
  compile<F>(parameters: readonly string[], library: Readonly<Record<string, unknown>>): F {
    const outside: Record<string, unknown> = { ...library, ...Object.fromEntries(this.#constants) };
    const text = [
      `'use strict';`,
      `const { ${Object.keys(outside).join(', ')} } = outside;`,
      `return (${parameters.join(', ')}) => {`,
      ...this.#lines,
      `};`,
    ].join('\n');
    // The text holds field names (checked by `struct`) and numbers of the declaration, nothing that came from outside.
    // eslint-disable-next-line @typescript-eslint/no-implied-eval
    return (new Function('outside', text) as (outside: unknown) => F)(outside);
  }
}

/** A value of a declaration as source text; objects and arrays become constants that are shared, so they are frozen. */
export function literal(source: SourceText, value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) return source.constant(deepFreeze(value));
  return JSON.stringify(value);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}
