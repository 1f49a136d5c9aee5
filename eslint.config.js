/**
 * How the code is judged: type-aware and strict. Who may import whom comes from `tools/boundaries.mjs`; how the code is laid out is
 * Prettier's business and appears nowhere here.
 */
import nx from '@nx/eslint-plugin';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';
import { importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';
import { depConstraints, externalBans, restrictedPathZones } from './tools/boundaries.mjs';

const typescript = ['**/*.ts'];
const tests = ['**/*.test.ts', '**/*-fixture.ts', '**/*.contract.ts', '**/*.model.ts', 'packages/testkit/**/*.ts'];
const scripts = ['tools/**', 'e2e/**', 'bench/**', 'examples/**', '**/*.bench.ts'];

const mayTouchTheAmbient = ['packages/runtime/**/*.ts', ...tests, ...scripts];

/** What only `packages/runtime` touches: everyone else gets a Clock, randomness and settings passed in. */
const ambient = {
  properties: [
    { object: 'Date', property: 'now', message: 'Take a Clock.' },
    { object: 'performance', property: 'now', message: 'Take a Clock.' },
    { object: 'Math', property: 'random', message: 'Take randomness as an argument.' },
    { object: 'process', property: 'env', message: 'Settings are parsed once, in packages/runtime.' },
    { object: 'process', property: 'hrtime', message: 'Take a Clock.' },
  ],
  globals: [
    ...['setTimeout', 'setInterval', 'setImmediate'].map((name) => ({ name, message: 'Take a Clock.' })),
    { name: 'performance', message: 'Take a Clock.' },
  ],
  imports: ['timers', 'node:timers', 'timers/promises', 'node:timers/promises', 'perf_hooks', 'node:perf_hooks'].map(
    (name) => ({ name, message: 'Take a Clock.' }),
  ),
  syntax: [
    { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message: 'Take a Clock.' },
    { selector: 'CallExpression[callee.name="Date"]', message: 'Take a Clock.' },
  ],
};

const style = [
  { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
  { selector: 'ExportAllDeclaration[exported=null]', message: 'Re-export by name.' },
  { selector: 'ThrowStatement > Literal', message: 'Throw an Error.' },
];

export default tseslint.config(
  {
    ignores: [
      '**/dist/',
      '**/generated/',
      '**/node_modules/',
      '.nx/',
      'coverage/',
      '**/.planted/',
      '**/*.d.ts',
      'packages/*/bin/',
    ],
  },
  {
    files: typescript,
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { '@nx': nx, 'import-x': importX },
    settings: {
      'import-x/resolver-next': [
        createTypeScriptImportResolver({ conditionNames: ['@kafscale/source', 'node', 'import'] }),
      ],
    },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { checkThenables: true }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowAny: false, allowNullish: false },
      ],
      // Index access is checked by noUncheckedIndexedAccess; `!` states an invariant that the line above shows.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Handlers answer in one shape, a promise or not; interfaces promise for implementations that do wait.
      '@typescript-eslint/require-await': 'off',
      // `void` marks a promise that is meant to run on its own, and an expression whose value nobody wants.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      // Type parameters that appear once carry the inference of `defineApi` and `struct`.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-syntax': ['error', ...style, ...ambient.syntax],
      'no-restricted-properties': ['error', ...ambient.properties],
      'no-restricted-globals': ['error', ...ambient.globals],
      '@nx/enforce-module-boundaries': ['error', { allow: [], depConstraints: depConstraints({ withTests: false }) }],
      'import-x/no-restricted-paths': ['error', { zones: restrictedPathZones() }],
    },
  },
  ...externalBans().map(({ files, banned }) => ({
    files,
    rules: { 'no-restricted-imports': ['error', { paths: [...banned, ...ambient.imports] }] },
  })),
  {
    files: mayTouchTheAmbient,
    rules: {
      'no-restricted-syntax': ['error', ...style],
      'no-restricted-properties': 'off',
      'no-restricted-globals': 'off',
    },
  },
  ...externalBans().map(({ files, banned }) => ({
    files: files.flatMap((place) => mayTouchTheAmbient.map((pattern) => [place, pattern])),
    rules: { 'no-restricted-imports': ['error', { paths: banned }] },
  })),
  {
    // Backpressure yields to the event loop itself, which is no matter of time.
    files: ['packages/broker/src/network/**/*.ts'],
    rules: { 'no-restricted-globals': ['error', ...ambient.globals.filter(({ name }) => name !== 'setImmediate')] },
  },
  {
    files: tests,
    rules: {
      '@nx/enforce-module-boundaries': ['error', { allow: [], depConstraints: depConstraints({ withTests: true }) }],
      // Fakes implement whole interfaces, and expectations look at methods without calling them.
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: ['packages/cli/**/*.ts', ...scripts], rules: { 'no-console': 'off' } },
);
