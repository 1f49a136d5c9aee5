// The end of every switch over a union: the compiler proves that it is not reached, and a broken invariant is loud.

/** Fails to compile while a case is missing, and throws if a value outside its type arrives at run time. */
export function unreachable(value: never): never {
  throw new Error(`a case was not handled: ${String(value)}`);
}
