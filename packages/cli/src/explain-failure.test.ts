import { ConfigError } from '@kafscale/runtime';
import { byOption, byVariable, explainFailure } from './explain-failure.ts';
import { CommandError } from './output.ts';

const place = { kafkaAddress: '127.0.0.1:9092', metricsAddress: '127.0.0.1:9093', dataDir: '/data', choices: byOption };
const explained = (error: unknown): string => {
  const explanation = explainFailure(error, place);
  if (!(explanation instanceof CommandError)) throw new Error('not explained');
  return explanation.message;
};
const systemError = (fields: Record<string, unknown>): Error => Object.assign(new Error('system'), fields);

describe('explainFailure', () => {
  it('names the option that moves the port that is taken', () => {
    expect(explained(systemError({ code: 'EADDRINUSE', syscall: 'listen', port: 9092 }))).toContain('--port 0');
    expect(explained(systemError({ code: 'EADDRINUSE', syscall: 'listen', port: 9093 }))).toContain('--metrics-port 0');
  });

  it('names the variable where there is no option', () => {
    const error = systemError({ code: 'EADDRINUSE', syscall: 'listen', port: 9092 });
    expect(String(explainFailure(error, { ...place, choices: byVariable }))).toContain('KAFSCALE_BROKER_ADDR=:0');
  });

  it('tells a forbidden port from a forbidden folder', () => {
    expect(explained(systemError({ code: 'EACCES', syscall: 'listen', port: 80 }))).toContain('port 80');
    expect(explained(systemError({ code: 'EACCES', syscall: 'mkdir' }))).toContain('/data');
  });

  it('shows every fault of a configuration', () => {
    expect(explained(new ConfigError(['A: wrong', 'B: wrong']))).toMatch(/A: wrong\n {2}B: wrong/);
  });

  it('passes on what the stores say themselves', () => {
    const error = Object.assign(new Error('/data is in use by process 7'), { name: 'MetadataError' });
    expect(explained(error)).toBe('/data is in use by process 7');
  });

  it('leaves alone what it does not know', () => {
    const error = new TypeError('bug');
    expect(explainFailure(error, place)).toBe(error);
  });
});
