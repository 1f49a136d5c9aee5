/** The ground that scenarios without nodes stand on: controllers turn objects into objects, and what has no owner any more goes. */
import { images } from '../images.ts';
import { deployment } from '../manifests.ts';
import { eventually, Scenario } from '../scenario.ts';

describe('controllers of this cluster', () => {
  let scenario: Scenario;
  beforeAll(async () => {
    scenario = await Scenario.begin('e2e-controllers');
  });
  afterAll(() => scenario.end());

  it('make pods of a Deployment and collect them with it', async () => {
    await scenario.apply(deployment(scenario.place('thing'), 3, { image: images.tools }));
    const count = async (): Promise<number> => (await scenario.pods('thing')).length;
    await eventually('there are three pods', async () => (await count()) === 3, 30_000);
    await scenario.kubectl.run(['delete', 'deployment', 'thing', '-n', scenario.namespace]);
    await eventually('there is none', async () => (await count()) === 0, 60_000);
  });
});
