/** What became of one item of a request that has many: its error stays with it. */
import { ErrorCode, KafkaError } from '@kafscale/protocol';

export interface Outcome {
  readonly errorCode: ErrorCode;
  readonly errorMessage: string | null;
}

export const success: Outcome = { errorCode: ErrorCode.NONE, errorMessage: null };

export const failure = ({ code, message }: KafkaError): Outcome => ({ errorCode: code, errorMessage: message });

/** How `change` ended. What is no KafkaError is a fault of ours, and fails the request as a whole. */
export async function outcomeOf(change: () => Promise<void> | void): Promise<Outcome> {
  try {
    await change();
    return success;
  } catch (error) {
    if (error instanceof KafkaError) return failure(error);
    throw error;
  }
}

/** Values that occur more than once. */
export function duplicates<Value>(values: Iterable<Value>): Set<Value> {
  const seen = new Set<Value>();
  const repeated = new Set<Value>();
  for (const value of values) {
    if (seen.has(value)) repeated.add(value);
    seen.add(value);
  }
  return repeated;
}
