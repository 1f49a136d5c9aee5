/** DeleteGroups v0-2: removes empty groups with their offsets, each answered for itself once it is gone from the store. */
import { deleteGroups } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

export const deleteGroupsHandler = defineHandler({
  api: deleteGroups,
  fail: (errorCode, { groupsNames }) => ({
    throttleTimeMs: 0,
    results: groupsNames.map((groupId) => ({ groupId, errorCode })),
  }),
  async handle({ groupsNames }, _context, { groups }) {
    const results = groupsNames.map(async (groupId) => ({ groupId, errorCode: await groups.delete(groupId) }));
    return { throttleTimeMs: 0, results: await Promise.all(results) };
  },
});
