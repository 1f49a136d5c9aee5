import { ErrorCode, heartbeat, produce } from '@kafscale/protocol';
import { defineHandler } from '../handlers/define-handler.ts';
import { describeBadFrames } from './bad-frames.contract.ts';
import { startTestListener, type TestListener } from './listener.fixture.ts';

describe('Listener', () => {
  let running: TestListener | undefined;
  afterAll(() => running?.listener.close());

  describeBadFrames(async () => {
    const limits = { maxRequestBytes: 1_048_576, frameDeadlineMs: 300 };
    running = await startTestListener({
      handlers: [
        defineHandler({
          api: heartbeat,
          fail: (errorCode) => ({ throttleTimeMs: 0, errorCode }),
          handle: () => ({ throttleTimeMs: 0, errorCode: ErrorCode.NONE }),
        }),
        defineHandler({
          api: produce,
          fail: () => ({ responses: [], throttleTimeMs: 0, nodeEndpoints: [] }),
          handle: () => ({ responses: [], throttleTimeMs: 0, nodeEndpoints: [] }),
        }),
      ],
      config: limits,
    });
    return { port: running.port, ...limits };
  });
});
