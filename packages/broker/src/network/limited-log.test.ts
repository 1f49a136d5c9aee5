import { createLogger } from '@kafscale/runtime';
import { FakeClock } from '@kafscale/testkit';
import { PassThrough } from 'node:stream';
import { LimitedLog } from './limited-log.ts';

describe('LimitedLog', () => {
  it('writes ten lines of a message per minute and then says how many it left out', () => {
    const destination = new PassThrough();
    const clock = new FakeClock();
    const log = new LimitedLog(createLogger({ level: 'info', format: 'json', destination }), clock);
    const lines = (): Record<string, unknown>[] =>
      String(destination.read() ?? '')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);

    for (let line = 0; line < 25; line += 1) log.info({ line }, 'bad request');
    log.error({}, 'something else');
    expect(lines()).toHaveLength(11);

    clock.advance(60_000);
    log.info({ line: 25 }, 'bad request');
    log.info({ line: 26 }, 'bad request');
    expect(lines()).toMatchObject([{ line: 25, suppressedLines: 15 }, { line: 26 }]);
  });
});
