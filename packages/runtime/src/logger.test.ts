import { PassThrough } from 'node:stream';
import { createLogger, type LogFormat } from './logger.ts';

function lines(format: LogFormat) {
  const destination = new PassThrough();
  const logger = createLogger({ level: 'info', format, destination });
  return { logger, text: () => String(destination.read() ?? '') };
}

describe('createLogger', () => {
  it('writes one JSON object per line with level, time, message and the fields of the child', () => {
    const { logger, text } = lines('json');
    logger.child({ component: 'listener' }).info({ apiKey: 3 }, 'request refused');
    expect(JSON.parse(text())).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
      component: 'listener',
      apiKey: 3,
      msg: 'request refused',
    });
  });

  it('keeps line breaks inside a value from starting a line of their own', () => {
    const { logger, text } = lines('json');
    logger.warn({ clientId: 'evil\n{"level":"fatal"}' }, 'odd client');
    expect(text().trimEnd().split('\n')).toHaveLength(1);
  });

  it('leaves out what is below its level', () => {
    const { logger, text } = lines('json');
    logger.debug('detail');
    expect(text()).toBe('');
  });

  it('writes for people when asked to', () => {
    const { logger, text } = lines('pretty');
    logger.info({ port: 9092 }, 'ready');
    expect(text()).toMatch(/INFO.*ready/);
  });
});
