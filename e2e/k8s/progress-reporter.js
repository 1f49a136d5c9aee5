/** A line for every scenario when it begins and when it ends, for jest prints nothing until a whole file is through. */
// eslint-disable-next-line no-restricted-syntax -- jest takes a reporter by its default export
export default class ProgressReporter {
  onTestCaseStart(_test, { ancestorTitles, title }) {
    console.log(`        ${[...ancestorTitles, title].join(': ')}`);
  }

  onTestCaseResult(_test, { status, fullName, duration, failureMessages }) {
    const outcome = status === 'passed' ? 'ok     ' : status === 'failed' ? 'FAILED ' : 'skipped';
    console.log(`${outcome} ${fullName} (${((duration ?? 0) / 1_000).toFixed(1)} s)`);
    for (const message of failureMessages) console.log(message);
  }

  /** A file that does not even load has no scenario to say so. */
  onTestFileResult(_test, { testExecError, failureMessage }) {
    if (testExecError) console.log(failureMessage);
  }
}
