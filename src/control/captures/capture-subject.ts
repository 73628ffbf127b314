/**
 * A capture of an endpoint or network that is deleted goes on, without frames: when there is one of that name again, as after
 * `weft apply` has replaced it, its frames are captured. An event says so; whoever wants it to end stops it.
 */
import type { Context } from '../context.js';
import type { Transaction } from '../transaction.js';

export function tellOfWaitingCaptures(
  { captures }: Context,
  transaction: Transaction,
  kind: 'endpoint' | 'network',
  deleted: string,
): void {
  for (const view of captures.list()) {
    if (view.state !== 'running' || view[kind] !== deleted) continue;
    const { name } = view;
    const message = `capture ${name} waits: ${kind} ${deleted} was deleted; it goes on when there is one of that name again`;
    transaction.emit({ type: 'capture-waiting', object: 'capture', name, message });
  }
}
