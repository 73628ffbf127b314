/**
 * Who is told after each stage of a turn what it did, by looking at the columns: `weft trace`. A turn without an observer pays
 * one comparison per stage.
 */

/** In the order of a turn. */
export type StageName =
  | 'decapsulate'
  | 'parse'
  | 'ingress'
  | 'switch'
  | 'network-layer'
  | 'gateway'
  | 'suppress'
  | 'nat-inbound'
  | 'route'
  | 'nat-outbound'
  | 'rewrite'
  | 'answer-errors';

export interface StageObserver {
  /** The stage has looked at all frames of the turn. Must not change anything. */
  after(stage: StageName): void;
}
