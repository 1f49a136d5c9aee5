/** @type {import('jest').Config} */
export default {
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@kafscale/source', 'node', 'node-addons'] },
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' }, sourceMaps: 'inline' },
    ],
  },
  testMatch: ['<rootDir>/packages/*/src/**/*.test.ts', '<rootDir>/tools/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/', '\\.(int|integration|kube)\\.test\\.ts$'],
  // A busy machine is no fault of the code; what may hang is bounded by the runner.
  testTimeout: 60_000,
  // Modules of finished test files stay in a process (Jest's ESM mode frees them late), so workers are renewed as they grow.
  maxWorkers: '100%',
  workerIdleMemoryLimit: '1GB',
  modulePathIgnorePatterns: ['<rootDir>/packages/[^/]+/dist/'],
};
