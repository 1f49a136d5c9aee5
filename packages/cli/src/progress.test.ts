import { FakeClock } from '@kafscale/testkit';
import { note, withProgress } from './progress.ts';

function recorder(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => void written.push(text) };
}

describe('withProgress', () => {
  it('prints one line per step where nobody watches', async () => {
    const stream = recorder(false);
    await expect(withProgress('Working', () => Promise.resolve(7), new FakeClock(), stream)).resolves.toBe(7);
    expect(stream.written).toEqual(['✓ Working\n']);
  });

  it('turns a spinner on a terminal until the work is done', async () => {
    const stream = recorder(true);
    const clock = new FakeClock();
    let finish: () => void = () => undefined;
    const working = withProgress('Working', () => new Promise<void>((resolve) => (finish = resolve)), clock, stream);
    clock.advance(200);
    finish();
    await working;
    expect(stream.written.filter((text) => text.includes('Working'))).toHaveLength(4);
    expect(stream.written.at(-1)).toBe('✓ Working\n');
    expect(clock.pendingTimers).toBe(0);
  });

  it('marks a step that failed and passes the failure on', async () => {
    const stream = recorder(false);
    const failing = withProgress('Working', () => Promise.reject(new Error('no')), new FakeClock(), stream);
    await expect(failing).rejects.toThrow('no');
    expect(stream.written).toEqual(['✗ Working\n']);
  });
});

describe('note', () => {
  it('takes the place of the spinner on a terminal and is a plain line elsewhere', () => {
    const [terminal, log] = [recorder(true), recorder(false)];
    note('building', terminal);
    note('building', log);
    expect(terminal.written).toEqual(['\r\u001b[2Kbuilding\n']);
    expect(log.written).toEqual(['building\n']);
  });
});
