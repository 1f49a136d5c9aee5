import { countJest } from './run-suite.ts';

const report = { numPassedTests: 5, numFailedTests: 1, numPendingTests: 2 };

describe('the count of a suite', () => {
  it("is Jest's own where every file loaded", () => {
    const testResults = [
      { status: 'passed', assertionResults: [{}] },
      { status: 'failed', assertionResults: [{}] },
    ];
    expect(countJest({ ...report, testResults })).toEqual({ passed: 5, failed: 1, skipped: 2 });
  });

  it('counts a file that did not load as one failure', () => {
    const testResults = [{ status: 'failed', assertionResults: [] }];
    expect(countJest({ ...report, testResults })).toEqual({ passed: 5, failed: 2, skipped: 2 });
  });
});
