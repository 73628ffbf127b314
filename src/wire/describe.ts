/**
 * One line about a frame, in the manner of tcpdump: for `weft capture`, trace and failing tests. Not for the hot path, and no
 * dissector: it names what a person needs to recognise a frame.
 *
 * Frames come from anywhere: nothing outside the `captured` bytes is read, and what is cut short shows as `[|protocol]`, as
 * tcpdump does. Names and texts inside frames are never printed as they are.
 *
 * @coldPath text for people
 */
import { formatMac } from './addresses.js';
import { describeArp, describeLacp, describeLldp, describeStp } from './describe-control.js';
import { type DescribeInner, describeIpv4, describeIpv6 } from './describe-ip.js';
import * as ethernet from './ethernet.js';
import * as vlan from './vlan.js';

/** IANA "IEEE 802 Numbers" and IEEE 802.3 annex 57A (slow protocols: LACP). */
const TYPE_SLOW = 0x8809;
const TYPE_LLDP = 0x88cc;
/** IEEE 802.3-2018 clause 3.2.6: up to 1500 it is a length, from 1536 a type. */
const MIN_TYPE = 1536;
/** LLC service access points, IEEE 802.2: spanning tree, and SNAP. */
const LLC_STP = 0x42;
const LLC_SNAP = 0xaa;
/** More tags than this are somebody's joke. */
const MAX_TAGS = 8;

/** Names of types that are not taken apart. */
const TYPE_NAMES: Record<number, string> = {
  2114: 'Wake-on-LAN',
  32821: 'RARP',
  34887: 'MPLS',
  34888: 'MPLS multicast',
  34915: 'PPPoE discovery',
  34916: 'PPPoE session',
  34958: 'EAPOL',
  35045: 'MACsec',
  35063: 'PTP',
  35074: 'CFM',
  36864: 'Loopback',
};

/**
 * The frame of `length` bytes of which `captured` stand at `at` of `view`. With `withMacs` the line begins with the
 * addresses of the frame. A frame inside of VXLAN follows on the same line.
 */
export function describeFrame(
  view: DataView,
  at: number,
  captured: number,
  length: number = captured,
  withMacs = false,
): string {
  return describe(view, at, captured, length, withMacs, describeInner);
}

/** A tunnel in a tunnel is somebody's joke: not looked into. */
function describeInner(view: DataView, at: number, captured: number, length: number): string {
  return describe(view, at, captured, length, false, null);
}

function describe(
  view: DataView,
  at: number,
  captured: number,
  length: number,
  withMacs: boolean,
  inner: DescribeInner | null,
): string {
  if (!ethernet.check(captured)) return `[|ether], length ${length}`;
  let macs = '';
  if (withMacs) {
    const source = formatMac(ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at));
    const destination = formatMac(ethernet.destinationHigh(view, at), ethernet.destinationLow(view, at));
    macs = `${source} > ${destination}, `;
  }
  const end = at + captured;
  let tags = '';
  let typeAt = at + ethernet.HEADER_BYTES - 2;
  let type = ethernet.etherType(view, at);
  for (let i = 0; i < MAX_TAGS && vlan.isTag(type); i++) {
    if (typeAt + vlan.TAG_BYTES + 2 > end) return `${macs}${tags}[|vlan], length ${length}`;
    tags += describeTag(view, typeAt, type);
    type = vlan.innerType(view, typeAt);
    typeAt += vlan.TAG_BYTES;
  }
  const payloadAt = typeAt + 2;
  return macs + tags + describePayload(view, type, payloadAt, end, length - (payloadAt - at), inner);
}

/** `length`: bytes of the payload on the wire; up to `end` they are here. */
function describePayload(
  view: DataView,
  type: number,
  at: number,
  end: number,
  length: number,
  inner: DescribeInner | null,
): string {
  switch (type) {
    case ethernet.TYPE_IPV4:
      return describeIpv4(view, at, end, length, inner);
    case ethernet.TYPE_IPV6:
      return describeIpv6(view, at, end, length, inner);
    case ethernet.TYPE_ARP:
      return describeArp(view, at, end, length);
    case TYPE_LLDP:
      return describeLldp(view, at, end, length);
    case TYPE_SLOW:
      return describeLacp(view, at, end, length);
  }
  if (type < MIN_TYPE) return describeLlc(view, at, end, length);
  const name = TYPE_NAMES[type];
  const number = `0x${type.toString(16).padStart(4, '0')}`;
  return `${name === undefined ? `ethertype ${number}` : `${name} (${number})`}, length ${length}`;
}

function describeTag(view: DataView, tagAt: number, type: number): string {
  const tci = vlan.tci(view, tagAt);
  const name = type === ethernet.TYPE_SERVICE_VLAN ? 'service vlan' : 'vlan';
  const priority = tci >>> 13;
  const dropEligible = (tci & 0x1000) !== 0 ? ', dei' : '';
  return `${name} ${tci & 0x0fff}${priority === 0 ? '' : `, p ${priority}`}${dropEligible}, `;
}

/** IEEE 802.2: DSAP (1) | SSAP (1) | control (1 or 2); with SNAP an organisation (3) and a type (2) follow. */
function describeLlc(view: DataView, at: number, end: number, length: number): string {
  if (at + 3 > end) return `[|llc], length ${length}`;
  const destination = view.getUint8(at);
  const source = view.getUint8(at + 1);
  if (destination === LLC_STP && source === LLC_STP) return describeStp(view, at + 3, end, length);
  if (destination === LLC_SNAP && source === LLC_SNAP && at + 8 <= end) {
    const organisation = view.getUint32(at + 3) >>> 8;
    const type = view.getUint16(at + 6);
    return `SNAP, oui 0x${organisation.toString(16).padStart(6, '0')}, type 0x${type.toString(16).padStart(4, '0')}, length ${length}`;
  }
  return `LLC, dsap 0x${destination.toString(16)}, ssap 0x${source.toString(16)}, length ${length}`;
}
