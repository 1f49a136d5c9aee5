import { ErrorCode, zeroUuid, type produce, type RequestOf } from '@kafscale/protocol';
import { FakeClock, settled } from '@kafscale/testkit';
import { produceHandler } from './produce.ts';
import type { Services } from './services.ts';

const request: RequestOf<typeof produce> = {
  ...{ transactionalId: null, acks: -1, timeoutMs: 1_000 },
  topicData: [{ name: 'unknown', topicId: zeroUuid, partitionData: [{ index: 0, records: null }] }],
};

async function answerAt(delayMs: number) {
  const clock = new FakeClock();
  const services = { clock, image: { topic: () => undefined }, produceThrottle: { delayMs } } as unknown as Services;
  const context = { apiVersion: 9, releaseRequest: () => undefined } as unknown as Parameters<
    typeof produceHandler.handle
  >[1];
  let answer: { readonly throttleTimeMs: number; readonly responses: readonly unknown[] } | undefined;
  void Promise.resolve(produceHandler.handle(request, context, services)).then((given) => {
    if (typeof given === 'object' && 'throttleTimeMs' in given) answer = given;
  });
  await settled();
  return { clock, answer: () => answer };
}

describe('an answer to a producer', () => {
  it('comes at once while nothing lags', async () => {
    const { answer } = await answerAt(0);
    expect(answer()).toMatchObject({
      throttleTimeMs: 0,
      responses: [{ partitionResponses: [{ errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }] }],
    });
  });

  it('is held back, and says for how long, while metadata is not folded away in time', async () => {
    const { clock, answer } = await answerAt(300);
    await clock.advanceAsync(299);
    expect(answer()).toBeUndefined();
    await clock.advanceAsync(1);
    expect(answer()).toMatchObject({ throttleTimeMs: 300 });
  });
});
