/** Named points of the write path at which a test ends the process, to prove that any moment is safe. */

export const failpointNames = ['after-object', 'before-commit', 'after-commit-before-answer'] as const;
export type FailpointName = (typeof failpointNames)[number];

/** Called when the point is passed. */
export type Failpoint = (name: FailpointName) => void;

/** What production uses. */
export const noFailpoint: Failpoint = () => undefined;

/** Calls `crash` when the point named in `specification` (`name:count`) is passed for the count-th time. Throws on a bad one. */
export function crashingFailpoint(specification: string, crash: () => void): Failpoint {
  const [name, count = '1'] = specification.split(':');
  const armed = failpointNames.find((known) => known === name);
  let remaining = Number(count);
  if (armed === undefined || !Number.isInteger(remaining) || remaining < 1) {
    throw new Error(
      `failpoint "${specification}" is not one of ${failpointNames.join(', ')}, with ":count" or without`,
    );
  }
  return (passed) => {
    if (passed !== armed) return;
    remaining -= 1;
    if (remaining === 0) crash();
  };
}
