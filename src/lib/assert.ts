/** Assertions for bugs: what can only go wrong when weft itself is wrong. Never for input from outside. */

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks a branch that no value can reach; the compiler checks it. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
