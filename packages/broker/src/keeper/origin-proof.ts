/**
 * Who may still publish an object: its maker's lanes and session in one state of the cluster. An object is settled when its maker's
 * lane is known there, and either the lane's floor has passed it or the maker's session is gone: then no transaction that publishes it can
 * apply any more (COMMIT.md K7). Absence of the lane proves nothing: such an object is somebody else's.
 */
import { metadata, metadataPrefixes, type LaneName } from '@kafscale/protocol';
import type { ObjectName } from '../storage/object-names.ts';
import type { ClusterState } from './cluster-state.ts';

export type Settlement =
  /** No transaction that would publish it can apply any more. */
  | 'settled'
  /** Its maker lives, and may publish it yet. */
  | 'open'
  /** Not made by an incarnation that this state knows. */
  | 'foreign';

export class OriginProof {
  readonly #floors: ReadonlyMap<string, number>;
  readonly #incarnations: ReadonlySet<string>;
  readonly #sessions: ReadonlySet<string>;

  private constructor(
    floors: ReadonlyMap<string, number>,
    incarnations: ReadonlySet<string>,
    sessions: ReadonlySet<string>,
  ) {
    this.#floors = floors;
    this.#incarnations = incarnations;
    this.#sessions = sessions;
  }

  /** Throws MetadataError, StorageError. */
  static async of(state: ClusterState): Promise<OriginProof> {
    const floors = new Map<string, number>();
    const incarnations = new Set<string>();
    const sessions = new Set<string>();
    for await (const { key, value } of state.entries(metadataPrefixes.lanes)) {
      const [, incarnation, lane] = key.split('/');
      if (incarnation === undefined || lane === undefined) continue;
      floors.set(`${incarnation}/${lane}`, Number(metadata.LaneRecord.decode(value).floor));
      incarnations.add(incarnation);
    }
    for await (const { key } of state.entries(metadataPrefixes.sessions)) {
      sessions.add(key.slice(metadataPrefixes.sessions.length));
    }
    return new OriginProof(floors, incarnations, sessions);
  }

  settlementOf(name: ObjectName): Settlement {
    const floor = this.#floors.get(`${name.incarnation}/${publishingLane(name)}`);
    if (floor === undefined) return 'foreign';
    return name.sequence < floor || !this.#sessions.has(name.incarnation) ? 'settled' : 'open';
  }

  /** The lowest sequence of the lane that may still be published; undefined for one that is not known here. */
  floorOf(incarnation: string, lane: LaneName): number | undefined {
    return this.#floors.get(`${incarnation}/${lane}`);
  }

  /** Those with a lane. */
  get incarnations(): ReadonlySet<string> {
    return this.#incarnations;
  }

  hasSession(incarnation: string): boolean {
    return this.#sessions.has(incarnation);
  }
}

/** Which lane publishes objects of that kind. */
const publishingLane = ({ kind }: ObjectName): LaneName => (kind === 'flush' ? 'data' : 'upkeep');
