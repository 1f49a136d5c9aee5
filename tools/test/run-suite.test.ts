import { countJest } from './run-suite.ts';

const report = { numPassedTests: 5, numFailedTests: 1, numPendingTests: 2 };

describe('the count of a suite', () => {
  it("is Jest's own where every file loaded, and names what was left out", () => {
    const testResults = [
      { status: 'passed', assertionResults: [{ status: 'passed', fullName: 'a' }] },
      {
        status: 'failed',
        assertionResults: ['failed', 'pending', 'pending'].map((status, index) => ({ status, fullName: `b${index}` })),
      },
    ];
    const counted = { passed: 5, failed: 1, skipped: 2, skippedTitles: ['b1', 'b2'] };
    expect(countJest({ ...report, testResults })).toEqual(counted);
  });

  it('counts a file that did not load as one failure', () => {
    const testResults = [{ status: 'failed', assertionResults: [] }];
    expect(countJest({ ...report, testResults })).toMatchObject({ passed: 5, failed: 2, skipped: 2 });
  });
});
