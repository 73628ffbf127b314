/**
 * The frames of one turn: a struct of arrays, one row per frame, one column per fact, one writer stage per column.
 *
 *   column                                    writer
 *   ingressRemote                             decapsulation (-1: not out of a tunnel)
 *   egressRemote egressVni                    switch, route: which way a frame takes that leaves by a tunnel
 *   start length ingressPort                  receive (and `injected`: that many of the first rows came from inside weft)
 *   destination* source* etherType tagged     parse
 *   l3At gso* checksum* network               parse (`complete` may finish a checksum, and then says so here)
 *   vlan                                      ingress
 *   egressPort                                switch, route
 *   interest                                  switch: whether and why the router looks at the frame
 *   family protocol fragment l4At             network-layer
 *   source destination *Port                  network-layer; the NAT stages put there what they are to become
 *   translation                               nat-inbound, nat-outbound
 *   egressNetwork nextMac*                    route
 *   pieceBytes                                route
 *   original*                                 whoever rewrites the frame in place
 *   verdict reason                            drop / forward / consume, below
 *
 * Rows 0 up to `count` are arrivals; behind them, up to `count + originated`, stand frames that weft made itself in this turn.
 * The last `returned` of the first `injected` arrivals are frames that were held back in an earlier turn (frames/hold-pool.ts).
 *
 * Offsets are bytes in the slab. Invariant after parse: the 12 bytes in front of `start` hold the vnet header that the
 * gso and checksum columns describe, so a frame can be written to a port with vnet headers as it is.
 */
import { PeerRows } from './peer-rows.js';
import { type Slab, STAGED_ROWS, VECTOR_ROWS } from './slab.js';

/** Not decided yet. */
export const PENDING = 0;
export const FORWARDED = 1;
export const DROPPED = 2;
/** For the router: the switch found the MAC of a gateway, and the router has not decided yet. */
export const ROUTING = 3;
/** weft itself took it: answered, kept for later. */
export const CONSUMED = 4;

/** `interest`: the router has nothing to do with the frame. */
export const NO_INTEREST = 0;
/** It is for the MAC of the gateway; its verdict is ROUTING until the router decides. */
export const FOR_ROUTER = 1;
/** It floods a network that has a gateway, which may be meant too. */
export const OVERHEARD = 2;
/** It goes to the host vNIC that owns the gateway addresses, unless the router has a route for it to another network. */
export const FOR_HOST = 3;

/** `fragment`: the packet is whole; its first part, with the transport header; another part. */
export const WHOLE = 0;
export const FIRST_FRAGMENT = 1;
export const LATER_FRAGMENT = 2;

/** Bits of `translation`: which of the address columns differ from the bytes of the frame. */
export const TRANSLATE_SOURCE = 1;
export const TRANSLATE_DESTINATION = 2;

/** `egressPort` of a frame that goes to every member of its network that may have it. */
export const FLOOD = -1;

/** `checksumStart` of a frame whose checksum is complete. */
export const COMPLETE = -1;

export class FrameVector {
  count = 0;
  /** Rows behind the arrivals that hold frames of weft's own making. */
  originated = 0;
  /** Arrivals of this turn that were too large and whose senders have not been told yet. */
  oversized = 0;
  /** Arrivals with an interest of the router when the switch was done. */
  routing = 0;
  /** Rows 0 up to this were injected or held back in an earlier turn: their vnet header is valid whatever their port is. */
  injected = 0;
  /** So many of these, the last ones, were held back: they count as originated, not as arrivals of their port. */
  returned = 0;
  readonly start: Int32Array;
  readonly length: Int32Array;
  /** Of rows that came from a UDP socket: who sent them. */
  readonly rxPeer: PeerRows;
  readonly ingressPort = new Int32Array(VECTOR_ROWS);
  /** Row of the table of other VTEPs that the frame came from, -1 = it came from a port of this host. */
  readonly ingressRemote = new Int32Array(VECTOR_ROWS);
  /** The VTEP that a frame goes to whose `egressPort` stands for a tunnel; FLOOD = all peers of the tunnel's flood list. */
  readonly egressRemote = new Int32Array(VECTOR_ROWS);
  /** VNI that it leaves with; -1 = that of its network. */
  readonly egressVni = new Int32Array(VECTOR_ROWS);
  readonly destinationHigh = new Int32Array(VECTOR_ROWS);
  readonly destinationLow = new Int32Array(VECTOR_ROWS);
  readonly sourceHigh = new Int32Array(VECTOR_ROWS);
  readonly sourceLow = new Int32Array(VECTOR_ROWS);
  /** Behind all VLAN tags (at most two are looked through). */
  readonly etherType = new Int32Array(VECTOR_ROWS);
  /** 1 when the outer tag is a customer tag (0x8100), else 0. */
  readonly tagged = new Uint8Array(VECTOR_ROWS);
  /** First byte behind the Ethernet header and its tags. */
  readonly l3At = new Int32Array(VECTOR_ROWS);
  readonly network = new Int32Array(VECTOR_ROWS);
  /** VLAN of the network that the frame belongs to; 0 = the untagged domain. */
  readonly vlan = new Int32Array(VECTOR_ROWS);
  /** GSO_* of wire/vnet-header.ts without the ECN bit. */
  readonly gsoType = new Int32Array(VECTOR_ROWS);
  readonly gsoEcn = new Uint8Array(VECTOR_ROWS);
  readonly gsoSize = new Int32Array(VECTOR_ROWS);
  /** Offset from the start of the frame, or COMPLETE. */
  readonly checksumStart = new Int32Array(VECTOR_ROWS);
  /** From `checksumStart` to the field. */
  readonly checksumOffset = new Int32Array(VECTOR_ROWS);
  /** NO_INTEREST, FOR_ROUTER, OVERHEARD or FOR_HOST. */
  readonly interest = new Uint8Array(VECTOR_ROWS);
  /** 4, 6, or 0 for what is no IP packet. Only of frames that the router looks at, like all columns down to `nextMacLow`. */
  readonly family = new Uint8Array(VECTOR_ROWS);
  /** Of the transport header, behind all IPv6 extension headers. */
  readonly protocol = new Uint8Array(VECTOR_ROWS);
  /** WHOLE, FIRST_FRAGMENT or LATER_FRAGMENT. */
  readonly fragment = new Uint8Array(VECTOR_ROWS);
  /** First byte of the transport header (of a later fragment: of its payload); offset in the slab. */
  readonly l4At = new Int32Array(VECTOR_ROWS);
  /** Four words per row, in host order; an IPv4 address is the first word, the others are 0. */
  readonly source = new Int32Array(VECTOR_ROWS * 4);
  readonly destination = new Int32Array(VECTOR_ROWS * 4);
  /** TCP and UDP ports; of an ICMP query both are its identifier; otherwise 0. */
  readonly sourcePort = new Int32Array(VECTOR_ROWS);
  readonly destinationPort = new Int32Array(VECTOR_ROWS);
  /** TRANSLATE_* bits. */
  readonly translation = new Uint8Array(VECTOR_ROWS);
  /** Network that the router sends it to; -1 = not decided. */
  readonly egressNetwork = new Int32Array(VECTOR_ROWS);
  /** Flags (ROUTE_*) of the route that it takes. */
  readonly routeFlags = new Int32Array(VECTOR_ROWS);
  /** MAC of the next hop. */
  readonly nextMacHigh = new Int32Array(VECTOR_ROWS);
  readonly nextMacLow = new Int32Array(VECTOR_ROWS);
  /** An IPv4 packet that is to leave in fragments of so many bytes at most (L3); 0 = it leaves as it is. */
  readonly pieceBytes = new Int32Array(VECTOR_ROWS);
  /** Where the head of the frame stands as it arrived (ORIGINAL_BYTES at most); 0 = the frame is as it arrived. */
  readonly originalAt = new Int32Array(VECTOR_ROWS);
  /** `checksumStart` of the frame as it arrived; only where `originalAt` says something. */
  readonly originalChecksumStart = new Int32Array(VECTOR_ROWS);
  readonly egressPort = new Int32Array(VECTOR_ROWS);
  readonly verdict = new Uint8Array(VECTOR_ROWS);
  readonly reason = new Uint8Array(VECTOR_ROWS);

  constructor(slab: Slab) {
    this.start = slab.takeColumn(VECTOR_ROWS + STAGED_ROWS);
    this.length = slab.takeColumn(VECTOR_ROWS + STAGED_ROWS);
    this.rxPeer = new PeerRows(slab, VECTOR_ROWS + STAGED_ROWS);
  }
}

/** Whether row `row` was held back in an earlier turn. */
export function isReturned(frames: FrameVector, row: number): boolean {
  return row < frames.injected && row >= frames.injected - frames.returned;
}

/** Whether two IP packets came from the same station by the same port and go to the same one. Packets come in runs. */
export function haveSameAddresses(frames: FrameVector, a: number, b: number): boolean {
  const { family, ingressPort, source, destination, network } = frames;
  const at = a << 2;
  const bt = b << 2;
  return (
    destination[at] === destination[bt] &&
    source[at] === source[bt] &&
    ingressPort[a] === ingressPort[b] &&
    network[a] === network[b] &&
    family[a] === family[b] &&
    destination[at + 3] === destination[bt + 3] &&
    destination[at + 2] === destination[bt + 2] &&
    destination[at + 1] === destination[bt + 1] &&
    source[at + 3] === source[bt + 3] &&
    source[at + 2] === source[bt + 2] &&
    source[at + 1] === source[bt + 1]
  );
}

/** Ends the fate of a frame: dropped for `reason` (a code of drop-reasons.ts). */
export function drop(frames: FrameVector, row: number, reason: number): void {
  frames.verdict[row] = DROPPED;
  frames.reason[row] = reason;
}

/** Ends the fate of a frame: it leaves through `port`, or through all that may have it (FLOOD). Through a tunnel: to all its peers. */
export function forward(frames: FrameVector, row: number, port: number): void {
  frames.verdict[row] = FORWARDED;
  frames.egressPort[row] = port;
  frames.egressRemote[row] = FLOOD;
  frames.egressVni[row] = -1;
}

/** Ends the fate of a frame: it leaves through the tunnel that `port` stands for, to one VTEP. `vni` -1: that of the network. */
export function forwardToRemote(frames: FrameVector, row: number, port: number, remote: number, vni: number): void {
  frames.verdict[row] = FORWARDED;
  frames.egressPort[row] = port;
  frames.egressRemote[row] = remote;
  frames.egressVni[row] = vni;
}

/** Ends the fate of frame `row`, an answer to frame `to`: it leaves by where that came from. */
export function answer(frames: FrameVector, row: number, to: number): void {
  forwardToRemote(frames, row, frames.ingressPort[to]!, frames.ingressRemote[to]!, -1);
}

/** Ends the fate of a frame: weft itself took it. */
export function consume(frames: FrameVector, row: number): void {
  frames.verdict[row] = CONSUMED;
}
