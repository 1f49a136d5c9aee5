import unit from './jest.config.js';

/** Tests that need something real beside the code: `x.integration.test.ts`, or `x.int.test.ts`. The runner in tools/test makes it ready. */
/** @type {import('jest').Config} */
export default {
  ...unit,
  testMatch: ['<rootDir>/packages/*/src/**/*.{int,integration}.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  testTimeout: 60_000,
};
