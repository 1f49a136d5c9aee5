/** `kafscale demo` as `make demo` runs it: what the README promises is what a newcomer sees. */
import { repositoryFolder, runProgram } from '@kafscale/testkit';
import { join } from 'node:path';

it('kafscale demo reads five of its messages back in a group and ends with 0', async () => {
  const command = join(repositoryFolder(), 'packages/cli/bin/kafscale.js');
  const output = await runProgram(process.execPath, [command, 'demo'], { timeoutMs: 60_000 });
  const received = output.split('\n').filter((line) => line.startsWith('Received message: '));
  expect(received).toEqual(
    [0, 1, 2, 3, 4].map((n) => `Received message: key=key-${n} value=message-${n} partition=0 offset=${n}`),
  );
});
