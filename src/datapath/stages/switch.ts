/**
 * The virtual switch: learns where the sender is, decides where the frame goes.
 *
 * Reads: network vlan ingressPort source* destination*. Writes: egressPort verdict.
 * Drops: storm, same-port, isolated, vlan-not-carried.
 * IEEE 802.1Q-2018 sections 8.7 (learning) and 8.8.3 (forwarding), without its filtering of reserved addresses: weft is
 * transparent unless the network asks for it (stages/ingress.ts).
 */
import { drop, FLOOD, FORWARDED, type FrameVector, forward, PENDING } from '../../frames/frame-vector.js';
import type { MacTable } from '../../tables/mac-table.js';
import { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, type StormTable } from '../../tables/storm-table.js';
import * as ethernet from '../../wire/ethernet.js';
import { DROP } from '../drop-reasons.js';
import { PORT_ISOLATED, type Program } from '../program.js';
import { carries } from '../vlan-membership.js';

export function switchFrames(
  frames: FrameVector,
  program: Program,
  macs: MacTable,
  storms: StormTable,
  now: number,
): void {
  const { count, verdict, network, vlan, ingressPort, sourceHigh, sourceLow } = frames;
  const { networkMacLimit } = program;
  let before = -1;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== PENDING) continue;
    if (before >= 0 && isSameConversation(frames, before, i)) {
      forward(frames, i, frames.egressPort[before]!);
      continue;
    }
    const owner = network[i]!;
    const limit = networkMacLimit[owner]!;
    macs.learn(owner, vlan[i]!, sourceHigh[i]!, sourceLow[i]!, ingressPort[i]!, now, limit);
    decide(frames, i, program, macs, storms, now);
    before = verdict[i] === FORWARDED && frames.egressPort[i] !== FLOOD ? i : -1;
  }
}

/**
 * Whether two frames of a turn have the same port, VLAN and addresses, so that what was decided for one holds for the other.
 * Frames come in runs: this saves two lookups for most of them.
 */
function isSameConversation(frames: FrameVector, a: number, b: number): boolean {
  const { ingressPort, vlan, sourceHigh, sourceLow, destinationHigh, destinationLow } = frames;
  return (
    destinationLow[a] === destinationLow[b] &&
    sourceLow[a] === sourceLow[b] &&
    ingressPort[a] === ingressPort[b] &&
    vlan[a] === vlan[b] &&
    destinationHigh[a] === destinationHigh[b] &&
    sourceHigh[a] === sourceHigh[b]
  );
}

/** One frame: to the port that owns the destination, to all, or nowhere. */
function decide(
  frames: FrameVector,
  i: number,
  program: Program,
  macs: MacTable,
  storms: StormTable,
  now: number,
): void {
  const owner = frames.network[i]!;
  const port = frames.ingressPort[i]!;
  const high = frames.destinationHigh[i]!;
  const low = frames.destinationLow[i]!;
  if (ethernet.isGroup(high)) {
    const broadcast = ethernet.isBroadcast(high, low);
    const limit = broadcast ? program.networkStormBroadcast[owner]! : program.networkStormMulticast[owner]!;
    if (storms.take(port, broadcast ? STORM_BROADCAST : STORM_MULTICAST, limit, now)) forward(frames, i, FLOOD);
    else drop(frames, i, DROP.storm);
    return;
  }
  const target = macs.find(owner, frames.vlan[i]!, high, low, now, program.networkAgeingMs[owner]!);
  if (target < 0) {
    if (storms.take(port, STORM_UNKNOWN, program.networkStormUnknown[owner]!, now)) forward(frames, i, FLOOD);
    else drop(frames, i, DROP.storm);
  } else if (target === port) {
    drop(frames, i, DROP.samePort);
  } else if ((program.portFlags[target]! & program.portFlags[port]! & PORT_ISOLATED) !== 0) {
    drop(frames, i, DROP.isolated);
  } else if (!carries(program, target, frames.vlan[i]!)) {
    drop(frames, i, DROP.vlanNotCarried);
  } else {
    forward(frames, i, target);
  }
}
