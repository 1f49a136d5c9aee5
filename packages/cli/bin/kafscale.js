#!/usr/bin/env node
// Starts what `npm run build` compiled; says so when nothing was compiled yet.
import { existsSync } from 'node:fs';

const built = new URL('../dist/index.js', import.meta.url);
if (!existsSync(built)) {
  console.error('kafscale is not built yet. Run `make build` in the repository first.');
  process.exit(1);
}
// Which versions of Node are supported is said by package.json, not by a library in the middle of the log.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';
const { main } = await import(built.href);
process.exit(await main(process.argv.slice(2)));
