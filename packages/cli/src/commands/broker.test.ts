import { CommandError } from '../output.ts';
import { brokerConfig } from './broker.ts';

const faultsOf = (env: Record<string, string>): string => {
  try {
    brokerConfig(env);
  } catch (error) {
    if (error instanceof CommandError) return error.message;
  }
  throw new Error('not refused');
};

describe('the settings of kafscale broker', () => {
  it('are refused with every fault at once', () => {
    const faults = faultsOf({ KAFSCALE_DATA_DIR: '/data', KAFSCALE_FLUSH_BYTES: '3', KAFSCALE_LOG_LEVEL: 'loud' });
    expect(faults).toContain('KAFSCALE_FLUSH_BYTES');
    expect(faults).toContain('KAFSCALE_LOG_LEVEL');
  });

  it('name both stores where none is chosen', () => {
    const faults = faultsOf({});
    expect(faults).toContain('KAFSCALE_ETCD_ENDPOINTS: missing');
    expect(faults).toContain('KAFSCALE_S3_BUCKET: missing');
  });

  it('are refused with half of a cluster', () => {
    expect(faultsOf({ KAFSCALE_S3_BUCKET: 'records' })).toContain('KAFSCALE_ETCD_ENDPOINTS');
    expect(faultsOf({ KAFSCALE_ETCD_ENDPOINTS: 'etcd:2379' })).toContain('KAFSCALE_S3_BUCKET');
  });

  it('take a folder for a broker by itself, and tell variables that are none', () => {
    const { config, unknownNames } = brokerConfig({ KAFSCALE_DATA_DIR: '/data', KAFSCALE_FLUSH_BITES: '1' });
    expect(config.dataDir).toBe('/data');
    expect(unknownNames).toEqual(['KAFSCALE_FLUSH_BITES']);
  });
});
