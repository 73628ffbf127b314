/** What stands at a place of the command line, for shell completion: names of objects, files, or nothing known. */
import type { Argument, Option } from 'commander';

export const OBJECT_KINDS = ['network', 'compartment', 'endpoint', 'capture'] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];
export type CompletionKind = ObjectKind | 'file';

const kinds = new WeakMap<Argument | Option, CompletionKind>();

/** Notes what completes an argument or the value of an option; returns it. */
export function completes<Item extends Argument | Option>(item: Item, kind: CompletionKind): Item {
  kinds.set(item, kind);
  return item;
}

export function completionKindOf(item: Argument | Option): CompletionKind | null {
  return kinds.get(item) ?? null;
}
