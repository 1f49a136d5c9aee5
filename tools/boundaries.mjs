/**
 * Who may import whom: the one table. `eslint.config.js` turns it into rules between packages and between their folders;
 * `boundaries.test.ts` shows that a forbidden import is caught. What is not listed is forbidden.
 */

/** Packages of other people that have exactly one home, and the place where they may be imported. */
const homes = {
  '@aws-sdk/client-s3': ['packages/broker/src/storage'],
  '@grpc/grpc-js': ['packages/broker/src/metadata', 'packages/broker/src/control', 'packages/operator/src/brokers'],
  '@grpc/proto-loader': ['packages/broker/src/control', 'packages/operator/src/brokers'],
  lmdb: ['packages/broker/src/metadata'],
  '@kubernetes/client-node': ['packages/operator/src/kube'],
  commander: ['packages/cli/src'],
  'prom-client': ['packages/broker/src/metrics', 'packages/operator/src/metrics'],
  pino: ['packages/runtime/src'],
};

/**
 * Per package: its source folder, which of ours its code may import, and what its tests may import on top of that. e2e, examples
 * and bench use the packages' indexes and the built binaries.
 */
export const packages = {
  protocol: { root: 'packages/protocol', imports: [], testImports: [] },
  runtime: { root: 'packages/runtime', imports: [], testImports: [] },
  testkit: { root: 'packages/testkit', imports: ['protocol', 'runtime'], testImports: [] },
  broker: { root: 'packages/broker', imports: ['protocol', 'runtime'], testImports: ['testkit'] },
  operator: { root: 'packages/operator', imports: ['protocol', 'runtime'], testImports: ['testkit'] },
  cli: { root: 'packages/cli', imports: ['protocol', 'runtime', 'broker', 'operator'], testImports: ['testkit'] },
  e2e: { root: 'e2e', imports: ['protocol', 'testkit', 'runtime', 'operator'], testImports: [] },
  examples: { root: 'examples', imports: ['protocol', 'testkit'], testImports: [] },
  bench: { root: 'bench', imports: ['protocol', 'runtime', 'testkit', 'broker'], testImports: [] },
  tools: { root: 'tools', imports: ['protocol', 'runtime', 'testkit', 'broker', 'operator'], testImports: [] },
};

/**
 * The broker's folders from the outside in. A folder imports from the layers below its own, never sideways, and from `shared`;
 * shared folders import nothing of the broker but each other. `broker.ts`, `main.ts` and `index.ts` stand above all of them.
 */
export const brokerLayers = {
  root: 'packages/broker/src',
  layers: [
    ['network'],
    ['handlers'],
    ['groups', 'transactions', 'security', 'control', 'keeper'],
    ['log', 'cluster'],
    ['storage', 'metadata'],
  ],
  shared: ['metrics', 'config'],
};

/** The same for the operator; `operator.ts`, `main.ts` and `index.ts` stand above all folders. */
export const operatorLayers = {
  root: 'packages/operator/src',
  layers: [
    ['reconcile', 'external-metrics'],
    ['resources', 'brokers'],
    ['kube', 'api', 'etcd'],
  ],
  shared: ['metrics'],
};

/**
 * Every folder of a package in layers with the folders it may not import.
 * @param {{ readonly layers: string[][], readonly shared: string[] }} layered
 */
export function forbiddenFolders({ layers, shared }) {
  const all = [...layers.flat(), ...shared];
  return all.map((folder) => {
    const level = layers.findIndex((layer) => layer.includes(folder));
    const allowed = new Set([folder, ...shared, ...(level < 0 ? [] : layers.slice(level + 1).flat())]);
    return { folder, forbidden: all.filter((other) => !allowed.has(other)) };
  });
}

/** Zones for `import-x/no-restricted-paths`: the folders of broker and operator, and the composition roots that nobody imports. */
export function restrictedPathZones() {
  return [...zonesOf('broker', brokerLayers), ...zonesOf('operator', operatorLayers)];
}

function zonesOf(name, { root, ...layers }) {
  const target = (folder) => `./${root}/${folder}`;
  return forbiddenFolders(layers).flatMap(({ folder, forbidden }) => [
    ...forbidden.map((other) => ({
      target: target(folder),
      from: `./${root}/${other}`,
      message: `The ${name}'s ${folder}/ may not import ${other}/ (tools/boundaries.mjs).`,
    })),
    {
      target: target(folder),
      from: [name, 'main', 'index'].map((file) => `./${root}/${file}.ts`),
      message: `Nothing inside the ${name} imports its composition root (tools/boundaries.mjs).`,
    },
  ]);
}

/** Constraints for `@nx/enforce-module-boundaries`; `withTests` adds what tests may import. */
export function depConstraints({ withTests }) {
  return Object.entries(packages).map(([name, { imports, testImports }]) => ({
    sourceTag: `package:${name}`,
    onlyDependOnLibsWithTags: [name, ...imports, ...(withTests ? testImports : [])].map((other) => `package:${other}`),
    bannedExternalImports: Object.entries(homes)
      .filter(([, places]) => !places.some((place) => place.startsWith(`${packages[name].root}/`)))
      .map(([external]) => external),
  }));
}

/**
 * Which of the packages with one home are banned where: everywhere first, then each home without its own bans. Later entries
 * replace earlier ones for the same file, as ESLint's configuration does.
 */
export function externalBans() {
  const places = [...new Set(Object.values(homes).flat())];
  const banned = (allowedAt) =>
    Object.entries(homes)
      .filter(([, at]) => !at.includes(allowedAt))
      .map(([external, at]) => ({ name: external, message: `Its home is ${at.join(', ')} (tools/boundaries.mjs).` }));
  return [
    { files: ['packages/**/*.ts'], banned: banned(undefined) },
    ...places.map((place) => ({ files: [`${place}/**/*.ts`], banned: banned(place) })),
  ];
}
