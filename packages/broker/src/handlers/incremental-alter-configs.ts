/**
 * IncrementalAlterConfigs v0-1 (KIP-339): single settings of a topic are set, deleted, or, where they are lists, extended and reduced;
 * the others stay as they are. Extending or reducing a list that was never set starts from its default.
 */
import {
  ConfigType,
  ErrorCode,
  incrementalAlterConfigs,
  KafkaError,
  splitList,
  topicConfigDefinitions,
  type RequestOf,
} from '@kafscale/protocol';
import { alterResources, failAll } from './alter-resources.ts';
import { defineHandler } from './define-handler.ts';

type AlteredConfig = RequestOf<typeof incrementalAlterConfigs>['resources'][number]['configs'][number];

const Operation = { SET: 0, DELETE: 1, APPEND: 2, SUBTRACT: 3 } as const;

export const incrementalAlterConfigsHandler = defineHandler({
  api: incrementalAlterConfigs,
  fail: (code, { resources }) => ({ throttleTimeMs: 0, responses: failAll(code, resources) }),
  async handle({ resources, validateOnly }, _context, services) {
    const valueNeeded = ({ configOperation }: AlteredConfig) => configOperation !== Operation.DELETE;
    const responses = await alterResources({ resources, validateOnly, valueNeeded, change }, services);
    return { throttleTimeMs: 0, responses };
  },
});

function change(entries: readonly AlteredConfig[], current: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const changed = new Map(current);
  for (const entry of entries) alter(changed, entry);
  return changed;
}

function alter(configs: Map<string, string>, { name, configOperation, value }: AlteredConfig): void {
  switch (configOperation) {
    case Operation.SET:
      configs.set(name, value!);
      return;
    case Operation.DELETE:
      configs.delete(name);
      return;
    case Operation.APPEND: {
      const items = listItems(configs, name, 'APPEND');
      const added = splitList(value!).filter((item) => !items.includes(item));
      configs.set(name, [...items, ...added].join(','));
      return;
    }
    case Operation.SUBTRACT: {
      const items = listItems(configs, name, 'SUBTRACT');
      const removed = splitList(value!);
      configs.set(name, items.filter((item) => !removed.includes(item)).join(','));
      return;
    }
    default:
      throw new KafkaError(ErrorCode.INVALID_REQUEST, `Unknown operation ${configOperation} for ${name}`);
  }
}

function listItems(configs: ReadonlyMap<string, string>, name: string, operation: string): string[] {
  const definition = topicConfigDefinitions.get(name);
  if (definition?.kind.type !== ConfigType.LIST) {
    throw new KafkaError(ErrorCode.INVALID_CONFIG, `Can't ${operation} to key ${name} because its type is not LIST.`);
  }
  return splitList(configs.get(name) ?? definition.defaultValue);
}
