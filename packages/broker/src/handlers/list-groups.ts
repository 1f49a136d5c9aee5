/** ListGroups v0-5: the groups this broker coordinates, filtered by state (v4) and type (v5), both in any case of letters. */
import { ErrorCode, listGroups, type ResponseOf } from '@kafscale/protocol';
import { defineHandler } from './define-handler.ts';

/** How Kafka spells the type of the groups whose members assign their partitions themselves. */
const classicType = 'Classic';

export const listGroupsHandler = defineHandler({
  api: listGroups,
  fail: (errorCode): ResponseOf<typeof listGroups> => ({ throttleTimeMs: 0, errorCode, groups: [] }),
  handle({ statesFilter, typesFilter }, _context, { groups }) {
    const isListed = anyOf(statesFilter);
    const listed = anyOf(typesFilter)(classicType) ? groups.list().filter(({ state }) => isListed(state)) : [];
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.NONE,
      groups: listed.map(({ groupId, protocolType, state }) => {
        return { groupId, protocolType: protocolType ?? '', groupState: state, groupType: classicType };
      }),
    };
  },
});

/** No filter lets everything pass. */
function anyOf(filter: readonly string[]): (value: string) => boolean {
  const wanted = new Set(filter.map((value) => value.toLowerCase()));
  return (value) => wanted.size === 0 || wanted.has(value.toLowerCase());
}
