/**
 * Tells what each stage did to the traced frame, in sentences, by what stands in the columns after it. It only looks; what a stage
 * has decided it does not decide again, except that it finds the row of a table by which the stage went, to name it.
 */
import type { Nat } from '../../datapath/nat.js';
import { NatRules } from '../../datapath/nat-rules.js';
import {
  BINDING_CLUSTER,
  BINDING_STATIC,
  MAX_PORTS,
  NAT,
  type Program,
  ROLE_UPLINK,
  ROUTE_PLAIN,
  ROUTE_REMOTE,
  TUNNEL,
  TUNNEL_INTS,
} from '../../datapath/program.js';
import type { StageName, StageObserver } from '../../datapath/stage-observer.js';
import { findRoute, NO_ROUTE } from '../../datapath/stages/route.js';
import {
  CONSUMED,
  DROPPED,
  FIRST_FRAGMENT,
  FLOOD,
  FORWARDED,
  type FrameVector,
  LATER_FRAGMENT,
  OVERHEARD,
  PENDING,
  ROUTING,
  TRANSLATE_DESTINATION,
  TRANSLATE_SOURCE,
  WHOLE,
} from '../../frames/frame-vector.js';
import type { Slab } from '../../frames/slab.js';
import type { MacRow } from '../../tables/mac-table.js';
import type { RemoteTable } from '../../tables/remote-table.js';
import * as words from '../../wire/address-words.js';
import { formatIpv4, formatIpv6, formatMac } from '../../wire/addresses.js';
import { describeFrame } from '../../wire/describe.js';

export interface TraceNames {
  /** Row of a network: `front`, or `the uplink of front`. */
  network(row: number): string;
  /** Port: `endpoint web-front`, `the host on front`, ... */
  port(port: number): string;
}

/** What a traced datapath works with. */
export interface Traced {
  frames: FrameVector;
  slab: Slab;
  program: Program;
  nat: Nat;
  remotes: RemoteTable;
  /** The MAC table before the frame. */
  known: readonly MacRow[];
  names: TraceNames;
}

export interface TraceStep {
  stage: string;
  says: string[];
}

/** The traced frame is the only arrival. */
const ROW = 0;
/** Of an entry of the MAC table. */
const ORIGINS: Record<number, string> = { 0: 'learned', [BINDING_STATIC]: 'static', [BINDING_CLUSTER]: 'cluster' };
const PROTOCOL_NAMES: Record<number, string> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' };

export class Narrator implements StageObserver {
  readonly steps: TraceStep[] = [];
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly program: Program;
  private readonly nat: Nat;
  /** Only looked at: any seed does. */
  private readonly rules = new NatRules(0);
  private readonly remotes: RemoteTable;
  private readonly known: readonly MacRow[];
  private readonly names: TraceNames;
  private readonly knownFlows: number;
  private readonly knownMappings: number;
  /** Verdict after the stage before. */
  private verdict = PENDING;
  private translation = 0;
  /** Source and destination as the frame has them. */
  private from = '';
  private to = '';

  constructor({ frames, slab, program, nat, remotes, known, names }: Traced) {
    this.frames = frames;
    this.slab = slab;
    this.program = program;
    this.nat = nat;
    this.rules.adopt(program);
    this.remotes = remotes;
    this.known = known;
    this.names = names;
    this.knownFlows = nat.flows.count;
    this.knownMappings = nat.mappings.count;
  }

  after(stage: StageName): void {
    const { frames } = this;
    if (frames.count === 0) return;
    const verdict = frames.verdict[ROW]!;
    const says = this.say(stage);
    // A stage that ended the fate without a sentence of its own is named all the same: the reason follows at the end.
    if (says.length === 0 && verdict === DROPPED && this.verdict !== DROPPED) says.push('dropped here');
    if (says.length > 0) this.steps.push({ stage, says });
    this.verdict = verdict;
    this.translation = frames.translation[ROW]!;
  }

  private say(stage: StageName): string[] {
    switch (stage) {
      case 'decapsulate':
        return this.sayDecapsulate();
      case 'suppress':
        return this.saySuppress();
      case 'parse':
        return this.sayParse();
      case 'ingress':
        return this.sayIngress();
      case 'switch':
        return this.saySwitch();
      case 'network-layer':
        return this.sayNetworkLayer();
      case 'gateway':
        return this.sayGateway();
      case 'nat-inbound':
        return this.sayInbound();
      case 'route':
        return this.sayRoute();
      case 'nat-outbound':
        return this.sayOutbound();
      case 'rewrite':
        return this.sayRewrite();
      default:
        return this.sayAnswers();
    }
  }

  private sayDecapsulate(): string[] {
    const remote = this.frames.ingressRemote[ROW]!;
    if (remote < 0) return [];
    const tunnel = this.program.portTunnel[this.frames.ingressPort[ROW]!]! * TUNNEL_INTS;
    const { tunnels } = this.program;
    const network = this.names.network(tunnels[tunnel + TUNNEL.network]!);
    return [
      `VNI ${tunnels[tunnel + TUNNEL.vni]} is ${network}: out of the tunnel, from VTEP ${this.remoteText(remote)}`,
    ];
  }

  /** Of a question that floods only. */
  private saySuppress(): string[] {
    const { frames, names } = this;
    if (frames.interest[ROW] !== OVERHEARD || this.verdict !== FORWARDED) return [];
    if (frames.verdict[ROW] === CONSUMED) return ['weft answers in place of the station, which is on another host'];
    const port = frames.egressPort[ROW]!;
    return port === FLOOD ? [] : [`weft knows who is asked for: to ${names.port(port)} alone`];
  }

  private remoteText(remote: number): string {
    const { remotes } = this;
    return addressText(remotes.addresses, remotes.addressAt(remote), remotes.family(remote));
  }

  /** `behind VTEP 192.0.2.2 (learned)`: how the frame leaves, and who said that the station is there. */
  private placeText(macHigh: number, macLow: number): string {
    const { frames, names } = this;
    const remote = frames.egressRemote[ROW]!;
    const port = frames.egressPort[ROW]!;
    if (remote < 0) return `at ${names.port(port)}`;
    const network = frames.network[ROW]!;
    const entry = this.known.find(
      (row) => row.network === network && row.vlan === 0 && row.macHigh === macHigh && row.macLow === macLow,
    );
    const origin = entry === undefined ? '' : ` (${ORIGINS[entry.origin] ?? 'learned'})`;
    return `behind VTEP ${this.remoteText(remote)}${origin}`;
  }

  private sayParse(): string[] {
    const { frames, names, program } = this;
    const port = frames.ingressPort[ROW]!;
    const source = formatMac(frames.sourceHigh[ROW]!, frames.sourceLow[ROW]!);
    const destination = formatMac(frames.destinationHigh[ROW]!, frames.destinationLow[ROW]!);
    if (frames.network[ROW]! < 0 || frames.network[ROW]! >= program.networkCount) return [];
    return [
      `${source} > ${destination} at port ${port} (${names.port(port)}) of ${names.network(frames.network[ROW]!)}`,
    ];
  }

  private sayIngress(): string[] {
    if (this.verdict !== PENDING) return [];
    const domain = this.frames.vlan[ROW]!;
    const mtu = this.program.networkMtu[this.frames.network[ROW]!]!;
    return [`${domain === 0 ? 'untagged' : `VLAN ${domain}`}, MTU ${mtu}`];
  }

  private saySwitch(): string[] {
    const { frames, names } = this;
    if (this.verdict !== PENDING) return [];
    const network = names.network(frames.network[ROW]!);
    const verdict = frames.verdict[ROW]!;
    if (verdict === ROUTING) return [`the destination is the MAC of the gateway of ${network}: to the router`];
    if (verdict !== FORWARDED) return [];
    if (frames.egressPort[ROW] !== FLOOD) {
      return [`the MAC table has it ${this.placeText(frames.destinationHigh[ROW]!, frames.destinationLow[ROW]!)}`];
    }
    const isGroup = (frames.destinationHigh[ROW]! & 0x0100) !== 0;
    const why = isGroup ? 'broadcast or multicast' : 'the MAC table does not know the destination';
    const overheard = frames.interest[ROW] === OVERHEARD ? ', and the gateway looks at it' : '';
    return [`${why}: to every port of ${network}${overheard}`];
  }

  private sayNetworkLayer(): string[] {
    const { frames } = this;
    if (frames.interest[ROW] === 0) return [];
    const family = frames.family[ROW]!;
    if (family === 0) return ['no IP packet'];
    const protocol = frames.protocol[ROW]!;
    this.from = this.endText(frames.source, frames.sourcePort[ROW]!);
    this.to = this.endText(frames.destination, frames.destinationPort[ROW]!);
    const name = PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
    return [`IPv${family}, ${name}${this.fragmentText()}, ${this.from} > ${this.to}`];
  }

  private fragmentText(): string {
    const fragment = this.frames.fragment[ROW];
    if (fragment === FIRST_FRAGMENT) return ', first fragment';
    return fragment === LATER_FRAGMENT ? ', a fragment behind the first' : '';
  }

  private sayGateway(): string[] {
    const { frames, names } = this;
    if (frames.interest[ROW] === 0) return [];
    const verdict = frames.verdict[ROW]!;
    if (verdict === CONSUMED) {
      const answers = frames.originated > 0 ? 'for the gateway itself, which answers' : 'for a service of the gateway';
      return [answers];
    }
    if (verdict === FORWARDED && this.verdict === ROUTING) {
      if (frames.egressPort[ROW] === frames.ingressPort[ROW]) return ['for the gateway itself, which answers'];
      return [`for a service of the gateway: to ${names.port(frames.egressPort[ROW]!)}`];
    }
    return verdict === ROUTING && frames.family[ROW] !== 0 ? ['not for an address of the gateway'] : [];
  }

  private sayInbound(): string[] {
    const { frames } = this;
    if (this.verdict !== ROUTING) return [];
    const says: string[] = [];
    const changed = frames.translation[ROW]! & ~this.translation;
    if ((changed & TRANSLATE_DESTINATION) !== 0) {
      const how = this.statelessText(frames.destination, 'inside') ?? this.flowText();
      says.push(`${this.to} is ${this.endText(frames.destination, frames.destinationPort[ROW]!)}: ${how}`);
    }
    if ((changed & TRANSLATE_SOURCE) !== 0) {
      says.push(`hairpin: ${this.from} shows as ${this.endText(frames.source, frames.sourcePort[ROW]!)}`);
    }
    if (frames.verdict[ROW] === CONSUMED) says.push(frames.originated > 0 ? 'answered' : this.heldText());
    if (says.length === 0 && frames.verdict[ROW] === ROUTING && frames.family[ROW] !== 0) {
      says.push(`${this.to} is no external address of the NAT`);
    }
    return says;
  }

  private sayRoute(): string[] {
    const { frames, names, program } = this;
    if (this.verdict !== ROUTING) return [];
    const at = findRoute(frames, ROW, program);
    if (at === NO_ROUTE) return [`no route of ${names.network(frames.network[ROW]!)} leads there`];
    const { routes } = program;
    const family = routes[at]!;
    const prefix = `${addressText(routes, at + 1, family)}/${routes[at + 5]}`;
    const target = routes[at + 6]!;
    const isOnLink = words.isZero(routes, at + 7);
    const isRemote = (routes[at + 11]! & ROUTE_REMOTE) !== 0;
    const near = isOnLink ? 'on the segment' : `next hop ${addressText(routes, at + 7, family)}`;
    const hop = isRemote
      ? `behind VTEP ${addressText(routes, at + 12, routes[at + 16]!)}, VNI ${routes[at + 19]}`
      : near;
    const plain = (routes[at + 11]! & ROUTE_PLAIN) !== 0 ? ', not translated' : '';
    const says = [`${prefix} to ${names.network(target)}, ${hop}${plain}`];
    if (frames.verdict[ROW] === ROUTING) {
      const mac = formatMac(frames.nextMacHigh[ROW]!, frames.nextMacLow[ROW]!);
      const port = frames.egressPort[ROW]!;
      const who = isRemote ? 'router there' : 'next hop';
      const place = port < 0 || port >= MAX_PORTS ? '' : ` at ${names.port(port)}`;
      says.push(`the ${who} has ${mac}${place}; MTU ${program.networkMtu[target]}`);
    } else if (frames.verdict[ROW] === CONSUMED) {
      says.push('its MAC is not known: the frame waits while weft asks for it');
    }
    return says;
  }

  private sayOutbound(): string[] {
    const { frames, program } = this;
    if (this.verdict !== ROUTING) return [];
    if ((frames.translation[ROW]! & ~this.translation & TRANSLATE_SOURCE) !== 0) {
      const how = this.statelessText(frames.source, 'external') ?? this.flowText();
      return [`${this.from} leaves as ${this.endText(frames.source, frames.sourcePort[ROW]!)}: ${how}`];
    }
    const target = frames.egressNetwork[ROW]!;
    const isOutward = target >= 0 && program.networkRole[target] === ROLE_UPLINK;
    return isOutward && frames.verdict[ROW] === ROUTING ? ['leaves with its own source address'] : [];
  }

  private flowText(): string {
    const { nat } = this;
    if (nat.flows.count === this.knownFlows) return 'a flow that is in the table';
    return nat.mappings.count === this.knownMappings ? 'a new flow of a known mapping' : 'a new mapping and a new flow';
  }

  /** How an address was translated of which no flow knows; null when it was none of these. `column` has what it became. */
  private statelessText(column: Int32Array, became: 'inside' | 'external'): string | null {
    const { rules } = this;
    const network = rules.insideOf(this.frames.network[ROW]!);
    const family = this.frames.family[ROW]!;
    const at = words.wordsAt(ROW);
    const isInside = became === 'inside';
    const pair = isInside
      ? rules.findStaticInside(network, family, column, at)
      : rules.findStaticExternal(network, family, column, at);
    if (pair >= 0) return 'a 1:1 address, without a flow';
    if (family !== 6) return null;
    const prefix = isInside
      ? rules.findPrefixInside(network, column, at)
      : rules.findPrefixExternal(network, column, at);
    return prefix < 0 ? null : 'by the prefix (NPTv6), without a flow';
  }

  /** A frame from outside that waits. */
  private heldText(): string {
    const { frames, rules } = this;
    if (frames.fragment[ROW] !== WHOLE) return 'a fragment: it waits for the first one of its packet';
    const seconds = rules.policy(rules.insideOf(frames.network[ROW]!), NAT.tcpSyn);
    const wait = `held for ${seconds} s, in case the inside opens the same connection (RFC 5382 REQ-4), then refused`;
    return `nothing inside has asked for this SYN: it is ${wait}; publish the port to let it in`;
  }

  private sayRewrite(): string[] {
    if (this.verdict !== ROUTING || this.frames.verdict[ROW] !== FORWARDED) return [];
    const { frames, slab } = this;
    const says = [describeFrame(slab.view, frames.start[ROW]!, frames.length[ROW]!, frames.length[ROW]!, true)];
    if (frames.egressRemote[ROW]! < 0) return says;
    return [...says, `the station is ${this.placeText(frames.nextMacHigh[ROW]!, frames.nextMacLow[ROW]!)}`];
  }

  private sayAnswers(): string[] {
    const { frames, slab } = this;
    if (this.verdict !== DROPPED || frames.originated === 0) return [];
    const row = frames.count;
    return [`tells the sender: ${describeFrame(slab.view, frames.start[row]!, frames.length[row]!)}`];
  }

  private endText(column: Int32Array, port: number): string {
    const family = this.frames.family[ROW]!;
    const address = addressText(column, words.wordsAt(ROW), family);
    if (port === 0) return address;
    return family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
  }
}

/** An address of four words. */
export function addressText(column: Int32Array, at: number, family: number): string {
  if (family === 4) return formatIpv4(column[at]!);
  const view = new DataView(new ArrayBuffer(16));
  for (let word = 0; word < 4; word++) view.setInt32(word * 4, column[at + word]!);
  return formatIpv6(view, 0);
}
