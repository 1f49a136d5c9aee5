/** Label and field selectors as the API writes them. */
import type { FakeObject } from './fake-kinds.ts';

/** Whether the labels satisfy `a=b,c!=d,e,!f,g in (x,y),h notin (z)`. */
export function matchesLabels(labels: Readonly<Record<string, string>>, selector: string): boolean {
  const requirements = selector.match(/(?:[^,(]|\([^)]*\))+/g) ?? [];
  return requirements.every((requirement) => matchesOne(labels, requirement.trim()));
}

function matchesOne(labels: Readonly<Record<string, string>>, requirement: string): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(requirement);
  if (set !== null) {
    const [, name, operator, list] = set;
    const value = labels[name!];
    const listed =
      value !== undefined &&
      list!
        .split(',')
        .map((item) => item.trim())
        .includes(value);
    return operator === 'in' ? listed : !listed;
  }
  const equality = /^([^!=\s]+)\s*(!=|==|=)\s*(\S*)$/.exec(requirement);
  if (equality !== null) {
    const [, name, operator, wanted] = equality;
    return (labels[name!] === wanted) === (operator !== '!=');
  }
  return requirement.startsWith('!') ? !(requirement.slice(1).trim() in labels) : requirement in labels;
}

/** Whether the object satisfies `metadata.name=a,spec.nodeName!=b`. */
export function matchesFields(object: FakeObject, selector: string): boolean {
  return selector.split(',').every((requirement) => {
    const [, path, operator, wanted] = /^([^!=]+)(!=|==|=)(.*)$/.exec(requirement) ?? [];
    if (path === undefined) return false;
    const value = path
      .split('.')
      .reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], object);
    return (
      ((typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value)) === wanted) ===
      (operator !== '!=')
    );
  });
}
