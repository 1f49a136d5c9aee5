// The error of every decoder: bytes from outside do not follow their format.

/** Thrown for malformed bytes and nothing else; the text says what was expected. */
export class DecodeError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'DecodeError';
  }
}
