// The error of every decompressor.

import { DecodeError } from '../errors/decode-error.ts';

/** Why compressed bytes were refused: they do not follow their format, or would take more bytes than the caller allows. */
export type DecompressionFault = 'corrupt' | 'too-large';

export class DecompressionError extends DecodeError {
  readonly fault: DecompressionFault;

  constructor(fault: DecompressionFault, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'DecompressionError';
    this.fault = fault;
  }
}

export const corrupt = (codec: string, cause?: unknown): DecompressionError =>
  new DecompressionError('corrupt', `${codec}: the compressed records do not follow the format`, { cause });

export const tooLarge = (codec: string, maxBytes: number): DecompressionError =>
  new DecompressionError('too-large', `${codec}: the records take more than ${maxBytes} bytes`);
