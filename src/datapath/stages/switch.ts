/**
 * The virtual switch: learns where the sender is, decides where the frame goes.
 *
 * Reads: network vlan tagged l3At ingressPort ingressRemote source* destination*. Writes: egress* interest verdict.
 * Drops: storm, same-port, split-horizon, isolated, vlan-not-carried.
 * IEEE 802.1Q-2018 sections 8.7 (learning) and 8.8.3 (forwarding), without its filtering of reserved addresses: weft is
 * transparent unless the network asks for it (stages/ingress.ts).
 */
import {
  drop,
  FLOOD,
  FOR_HOST,
  FOR_ROUTER,
  FORWARDED,
  type FrameVector,
  forward,
  forwardToRemote,
  OVERHEARD,
  PENDING,
  ROUTING,
} from '../../frames/frame-vector.js';
import type { MacTable } from '../../tables/mac-table.js';
import { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, type StormTable } from '../../tables/storm-table.js';
import * as ethernet from '../../wire/ethernet.js';
import { TAG_BYTES } from '../../wire/vlan.js';
import { DROP } from '../drop-reasons.js';
import { tunnelPortOf } from '../locations.js';
import {
  MAX_PORTS,
  NETWORK_SHARED_GATEWAY,
  PORT_ISOLATED,
  type Program,
  ROLE_SWITCH,
  TUNNEL,
  TUNNEL_INTS,
  TUNNEL_LEARNS,
} from '../program.js';
import { isRouterMac } from '../router-mac.js';
import { carries } from '../vlan-membership.js';

export function switchFrames(
  frames: FrameVector,
  program: Program,
  macs: MacTable,
  storms: StormTable,
  now: number,
): void {
  const { count, verdict, network, vlan, sourceHigh, sourceLow } = frames;
  const { networkMacLimit, networkRole } = program;
  let before = -1;
  /** The same for frames to the gateway. */
  let routed = -1;
  frames.routing = 0;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== PENDING) continue;
    if (before >= 0 && isSameConversation(frames, before, i)) {
      forwardToRemote(frames, i, frames.egressPort[before]!, frames.egressRemote[before]!, frames.egressVni[before]!);
      continue;
    }
    if (routed >= 0 && isSameConversation(frames, routed, i) && isPlain(frames, i)) {
      leaveToRouter(frames, i);
      continue;
    }
    const owner = network[i]!;
    const hasGateway = networkRole[owner] !== ROLE_SWITCH && vlan[i] === 0 && isPlain(frames, i);
    if (!hasGateway || !isFromGateway(frames, i, program, owner)) {
      const limit = networkMacLimit[owner]!;
      const location = locationOfSender(frames, i, program);
      if (location >= 0) macs.learn(owner, vlan[i]!, sourceHigh[i]!, sourceLow[i]!, location, now, limit);
    }
    if (hasGateway && isForGateway(frames, i, program, owner)) {
      leaveToRouter(frames, i);
      routed = i;
      continue;
    }
    decide(frames, i, program, macs, storms, now);
    before = verdict[i] === FORWARDED && frames.egressPort[i] !== FLOOD ? i : -1;
    if (hasGateway && verdict[i] === FORWARDED) noteInterest(frames, i, program, owner);
    if (frames.interest[i] !== 0) before = -1;
  }
}

/** Where the sender is to be found, or -1: nothing is learned of where the frame came from. */
function locationOfSender(frames: FrameVector, i: number, program: Program): number {
  const port = frames.ingressPort[i]!;
  const tunnel = program.portTunnel[port]!;
  if (tunnel < 0) return port;
  // RFC 7348 section 4.1: the inner source MAC is behind the outer source address.
  const remote = frames.ingressRemote[i]!;
  const learns = (program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.flags]! & TUNNEL_LEARNS) !== 0;
  return learns && remote >= 0 ? MAX_PORTS + remote : -1;
}

function leaveToRouter(frames: FrameVector, i: number): void {
  frames.interest[i] = FOR_ROUTER;
  frames.verdict[i] = ROUTING;
  frames.routing++;
}

/** Without a tag, or with a priority tag only; what stands behind other tags is not for the gateway. */
function isPlain(frames: FrameVector, i: number): boolean {
  return frames.l3At[i]! - frames.start[i]! === ethernet.HEADER_BYTES + frames.tagged[i]! * TAG_BYTES;
}

/** Whether a MAC of the network's router, which is weft itself, sent the frame: nothing is learned from who claims to be. */
function isFromGateway(frames: FrameVector, i: number, program: Program, owner: number): boolean {
  if ((program.networkFlags[owner]! & NETWORK_SHARED_GATEWAY) !== 0) return false;
  return isRouterMac(program, owner, frames.sourceHigh[i]!, frames.sourceLow[i]!);
}

/** Whether the frame is for a MAC of a gateway that is weft itself. */
function isForGateway(frames: FrameVector, i: number, program: Program, owner: number): boolean {
  if ((program.networkFlags[owner]! & NETWORK_SHARED_GATEWAY) !== 0) return false;
  return isRouterMac(program, owner, frames.destinationHigh[i]!, frames.destinationLow[i]!);
}

/** Notes on a forwarded frame why the router may want to look at it. */
function noteInterest(frames: FrameVector, i: number, program: Program, owner: number): void {
  if (
    frames.destinationLow[i] === program.gatewayMacLow[owner] &&
    frames.destinationHigh[i] === program.gatewayMacHigh[owner]
  ) {
    frames.interest[i] = FOR_HOST;
  } else if (frames.egressPort[i] === FLOOD && ethernet.isGroup(frames.destinationHigh[i]!)) {
    frames.interest[i] = OVERHEARD;
  } else {
    return;
  }
  frames.routing++;
}

/**
 * Whether two frames of a turn came by the same way and have the same VLAN and addresses, so that what was decided for one holds for the other.
 * Frames come in runs: this saves two lookups for most of them.
 */
function isSameConversation(frames: FrameVector, a: number, b: number): boolean {
  const { ingressPort, ingressRemote, vlan, sourceHigh, sourceLow, destinationHigh, destinationLow } = frames;
  return (
    destinationLow[a] === destinationLow[b] &&
    sourceLow[a] === sourceLow[b] &&
    ingressPort[a] === ingressPort[b] &&
    ingressRemote[a] === ingressRemote[b] &&
    vlan[a] === vlan[b] &&
    destinationHigh[a] === destinationHigh[b] &&
    sourceHigh[a] === sourceHigh[b]
  );
}

/** One frame: to the port or the VTEP that the destination is behind, to all, or nowhere. */
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
  const location = macs.find(owner, frames.vlan[i]!, high, low, now, program.networkAgeingMs[owner]!);
  const target = location < MAX_PORTS ? location : tunnelPortOf(program, owner);
  if (target < 0) {
    if (storms.take(port, STORM_UNKNOWN, program.networkStormUnknown[owner]!, now)) forward(frames, i, FLOOD);
    else drop(frames, i, DROP.storm);
  } else if (target === port) {
    drop(frames, i, location < MAX_PORTS ? DROP.samePort : DROP.splitHorizon);
  } else if ((program.portFlags[target]! & program.portFlags[port]! & PORT_ISOLATED) !== 0) {
    drop(frames, i, DROP.isolated);
  } else if (!carries(program, target, frames.vlan[i]!)) {
    drop(frames, i, DROP.vlanNotCarried);
  } else if (location < MAX_PORTS) {
    forward(frames, i, target);
  } else {
    forwardToRemote(frames, i, target, location - MAX_PORTS, -1);
  }
}
