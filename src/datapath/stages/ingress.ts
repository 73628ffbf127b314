/**
 * What a port may send into its network: link-local control frames where they are filtered, VLANs, MTU.
 *
 * Reads: ingressPort network destination* tagged l3At gso* checksumStart length. Writes: vlan verdict, and the interest of frames whose
 * sender is to be told of the MTU. Drops: control-filtered, vlan-not-allowed, exceeds-mtu.
 */
import { drop, type FrameVector, OVERHEARD, PENDING } from '../../frames/frame-vector.js';
import { largestPacketBytes } from '../../frames/packet-bytes.js';
import * as ethernet from '../../wire/ethernet.js';
import * as vlan from '../../wire/vlan.js';
import { DROP } from '../drop-reasons.js';
import { NETWORK_FILTER_CONTROL, NETWORK_TELLS_MTU, type Program, VLAN_ACCESS } from '../program.js';
import { carriesTagged } from '../vlan-membership.js';

export function applyIngress(frames: FrameVector, view: DataView, program: Program): void {
  const { count, verdict, network, ingressPort, destinationHigh, destinationLow } = frames;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== PENDING) continue;
    const owner = network[i]!;
    if (
      (program.networkFlags[owner]! & NETWORK_FILTER_CONTROL) !== 0 &&
      ethernet.isLinkLocalControl(destinationHigh[i]!, destinationLow[i]!)
    ) {
      drop(frames, i, DROP.controlFiltered);
      continue;
    }
    const domain = vlanOfArrival(frames, i, view, program, ingressPort[i]!);
    if (domain < 0) {
      drop(frames, i, DROP.vlanNotAllowed);
      continue;
    }
    frames.vlan[i] = domain;
    if (largestPacketBytes(frames, i, view) <= program.networkMtu[owner]!) continue;
    drop(frames, i, DROP.exceedsMtu);
    // What came out of a tunnel was the business of the host that put it there.
    if ((program.networkFlags[owner]! & NETWORK_TELLS_MTU) === 0 || program.portTunnel[ingressPort[i]!]! >= 0) continue;
    frames.interest[i] = OVERHEARD;
    frames.oversized++;
  }
}

/** VLAN that the frame belongs to (0 = untagged domain), or -1 when its port does not carry it. */
function vlanOfArrival(frames: FrameVector, i: number, view: DataView, program: Program, port: number): number {
  // IEEE 802.1Q-2018 section 6.9.1: a priority tag (VLAN 0) is classified like an untagged frame.
  const tag = frames.tagged[i] !== 0 ? vlan.vlanId(view, frames.start[i]! + 12) : 0;
  if (program.portVlanMode[port] === VLAN_ACCESS) return tag === 0 ? program.portVlan[port]! : -1;
  if (tag === 0) return program.portVlan[port]!;
  return carriesTagged(program, port, tag) ? tag : -1;
}
