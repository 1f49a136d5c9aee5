import unit from './jest.config.js';

/** Suites of real programs: long, one file at a time, each with a broker of its own. */
/** @type {import('jest').Config} */
export default {
  ...unit,
  testMatch: ['<rootDir>/e2e/**/*.e2e.ts'],
  maxWorkers: 1,
  testTimeout: 120_000,
};
