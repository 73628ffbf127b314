/**
 * Which VLANs a port carries: what the stages ask of the program's VLAN columns. Pure look-ups, no decisions.
 *
 * IEEE 802.1Q-2018 section 8.8.2 calls this the member set of a VLAN.
 */
import { type Program, TRUNK_WORDS, VLAN_ACCESS } from './program.js';

/** Whether a port has frames of a VLAN of its network (0 = the untagged domain), tagged or not. */
export function carries(program: Program, port: number, domain: number): boolean {
  if (domain === program.portVlan[port]) return true;
  if (domain === 0 || program.portVlanMode[port] === VLAN_ACCESS) return false;
  return carriesTagged(program, port, domain);
}

/** Whether a trunk port carries a VLAN with a tag. */
export function carriesTagged(program: Program, port: number, id: number): boolean {
  const set = program.portTrunk[port]!;
  return set < 0 || ((program.trunkSets[set * TRUNK_WORDS + (id >>> 5)]! >>> (id & 31)) & 1) !== 0;
}
