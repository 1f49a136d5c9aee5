/** AlterConfigs v0-2: a topic's settings as a whole; those that are not named go back to their defaults. */
import { alterConfigs, type RequestOf } from '@kafscale/protocol';
import { alterResources, failAll } from './alter-resources.ts';
import { defineHandler } from './define-handler.ts';

type Entry = RequestOf<typeof alterConfigs>['resources'][number]['configs'][number];

export const alterConfigsHandler = defineHandler({
  api: alterConfigs,
  fail: (code, { resources }) => ({ throttleTimeMs: 0, responses: failAll(code, resources) }),
  async handle({ resources, validateOnly }, _context, services) {
    const change = (entries: readonly Entry[]) => new Map(entries.map(({ name, value }) => [name, value!])); // null was refused
    const responses = await alterResources({ resources, validateOnly, valueNeeded: () => true, change }, services);
    return { throttleTimeMs: 0, responses };
  },
});
