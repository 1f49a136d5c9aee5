/** Why a call of the control API is not answered with what was asked for, split by what the caller does next. */

/**
 * `invalid`: ask otherwise. `exhausted`: ask for less, or later. `not-possible`: not in the state this broker is in. `late`: the time
 * was over first; ask again. `unavailable`: this broker serves nothing at the moment; ask again, or another one.
 */
export type ControlErrorKind = 'invalid' | 'exhausted' | 'not-possible' | 'late' | 'unavailable';

export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly kind: ControlErrorKind;

  constructor(kind: ControlErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}
