/** Whatever bytes come, a whole broker answers each as Kafka would and goes on serving the honest. */
import { jest } from '@jest/globals';
import { describeBadRequests } from './bad-requests.contract.ts';
import { BrokerFixture } from '../broker-fixture.ts';
import { describeBadFrames } from '../network/bad-frames.contract.ts';

jest.setTimeout(60_000);

describe('Broker', () => {
  const fixture = new BrokerFixture();
  afterAll(() => fixture.closeAll());

  describeBadFrames(async () => {
    const config = { maxRequestBytes: 4 * 2 ** 20, frameDeadlineMs: 500 };
    const { port } = await fixture.start({ config });
    return { port, ...config };
  });

  describeBadRequests(() => fixture.start());
});
