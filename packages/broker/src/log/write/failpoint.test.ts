import { crashingFailpoint } from './failpoint.ts';

function crashesAfter(specification: string, passed: readonly Parameters<ReturnType<typeof crashingFailpoint>>[0][]) {
  let crashes = 0;
  const failpoint = crashingFailpoint(specification, () => (crashes += 1));
  return passed.map((name) => {
    failpoint(name);
    return crashes;
  });
}

describe('crashingFailpoint', () => {
  it('crashes when its point is passed, and at no other', () => {
    expect(crashesAfter('before-commit', ['after-object', 'before-commit'])).toEqual([0, 1]);
  });

  it('crashes at the time that it names, once', () => {
    expect(crashesAfter('after-object:3', Array(5).fill('after-object'))).toEqual([0, 0, 1, 1, 1]);
  });

  it.each(['nowhere', 'after-object:0', 'after-object:x', 'after-object:1.5', ''])('refuses %j', (specification) => {
    expect(() => crashingFailpoint(specification, () => undefined)).toThrow('is not one of');
  });
});
