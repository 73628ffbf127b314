/** FNV-1a of the id of a network: the same in every process, never 0. */
export function keyOf(id: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return hash === 0 ? 1 : hash;
}
