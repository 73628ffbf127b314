/**
 * A hash over what tells flows apart in an Ethernet frame: addresses, protocol and ports of IP packets, the flow label of other IPv6
 * packets, MACs and type of everything else. Tunnels put it into the outer source port, so that the network spreads flows over its
 * paths and keeps each one in order (RFC 7348 section 5, RFC 6438). Fragments have no ports: all of a packet go one way.
 */
import * as ethernet from './ethernet.js';
import * as ipv4 from './ipv4.js';
import * as ipv6 from './ipv6.js';

const SEED = 0x2545f491;

/** Hash of the frame at `at` whose L3 header stands at `l3At`; a signed int32. `end`: behind its last byte. */
export function flowHash(view: DataView, at: number, l3At: number, end: number): number {
  const type = view.getUint16(l3At - 2);
  const room = end - l3At;
  if (type === ethernet.TYPE_IPV4 && ipv4.check(view, l3At, room)) return finish(hashIpv4(view, l3At, end));
  if (type === ethernet.TYPE_IPV6 && ipv6.check(view, l3At, room)) return finish(hashIpv6(view, l3At, end));
  let hash = mix(SEED, view.getInt32(at));
  hash = mix(hash, view.getInt32(at + 4));
  hash = mix(hash, view.getInt32(at + 8));
  return finish(mix(hash, type));
}

function hashIpv4(view: DataView, at: number, end: number): number {
  const protocol = ipv4.protocol(view, at);
  let hash = mix(SEED, view.getInt32(at + 12));
  hash = mix(hash, view.getInt32(at + 16));
  hash = mix(hash, protocol);
  const field = ipv4.fragmentField(view, at);
  if (ipv4.fragmentOffset(field) !== 0 || ipv4.hasMoreFragments(field)) return hash;
  const l4At = at + ipv4.headerBytes(view, at);
  return hasPorts(protocol) && l4At + 4 <= end ? mix(hash, view.getInt32(l4At)) : hash;
}

function hashIpv6(view: DataView, at: number, end: number): number {
  const next = ipv6.nextHeader(view, at);
  let hash = mix(SEED, next);
  for (let word = 8; word < ipv6.HEADER_BYTES; word += 4) hash = mix(hash, view.getInt32(at + word));
  const l4At = at + ipv6.HEADER_BYTES;
  if (hasPorts(next) && l4At + 4 <= end) return mix(hash, view.getInt32(l4At));
  return mix(hash, view.getInt32(at) & 0xfffff);
}

function hasPorts(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_SCTP;
}

function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}

/** So that the low bits, which choose the port, depend on all of the input. */
function finish(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/** TOS or traffic class of the IP packet at `l3At` in a frame that ends at `end`; 0 for what is no IP packet. */
export function trafficClass(view: DataView, l3At: number, end: number): number {
  const type = view.getUint16(l3At - 2);
  const room = end - l3At;
  if (type === ethernet.TYPE_IPV4 && ipv4.check(view, l3At, room)) return view.getUint8(l3At + 1);
  if (type === ethernet.TYPE_IPV6 && ipv6.check(view, l3At, room)) return (view.getUint16(l3At) >>> 4) & 0xff;
  return 0;
}
