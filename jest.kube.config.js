import unit from './jest.config.js';

/** Tests against a real Kubernetes API server, `x.kube.test.ts`: `make e2e-operator`. Each file starts one of its own. */
/** @type {import('jest').Config} */
export default {
  ...unit,
  testMatch: ['<rootDir>/packages/*/src/**/*.kube.test.ts', '<rootDir>/tools/**/*.kube.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  maxWorkers: 2,
};
