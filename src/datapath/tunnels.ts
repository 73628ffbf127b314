/**
 * The tunnels of the program as the hot path asks for them: which one a VNI means, who may send into it, and which row of the table of
 * remotes each address of a flood list has. These rows are pinned for as long as the program runs.
 */
import type { MacTable } from '../tables/mac-table.js';
import type { RemoteTable } from '../tables/remote-table.js';
import { VniTable } from '../tables/vni-table.js';
import {
  emptyProgram,
  FLOOD_INTS,
  MAX_NETWORKS,
  MAX_REMOTES,
  type Program,
  ROUTE_INTS,
  ROUTE_REMOTE,
  TUNNEL,
  TUNNEL_CLOSED,
  TUNNEL_INTS,
  VTEP,
  VTEP_INTS,
} from './program.js';

/** In place of VTEP.key, which is never this. */
export const NO_VTEP = 0;
const ROUTE_NETWORK_AT = 6;
const ROUTE_FLAGS_AT = 11;
const ROUTE_VTEP_AT = 12;
const ROUTE_VTEP_FAMILY_AT = 16;
/** Words of bits that say which remotes may send into a network. */
const ALLOWED_WORDS = MAX_REMOTES / 32;

export class Tunnels {
  readonly remotes: RemoteTable;
  /** By row of `program.floods`: row of the remotes, -1 = there was no room. */
  floodRemotes = new Int32Array(0);
  private program: Program = emptyProgram();
  private readonly vnis = new VniTable();
  /** By network and remote, one bit each: those that the program names, and those that bindings name. */
  private readonly allowed = new Int32Array(MAX_NETWORKS * ALLOWED_WORDS);
  private readonly bound = new Int32Array(MAX_NETWORKS * ALLOWED_WORDS);

  constructor(remotes: RemoteTable) {
    this.remotes = remotes;
  }

  /** Row of `tunnels` that a VNI means at a VTEP, or -1. */
  tunnelOf(vtep: number, vni: number): number {
    return this.vnis.find(vtep, vni);
  }

  /** Whether only known VTEPs may send into a tunnel. */
  isClosed(tunnel: number): boolean {
    return (this.program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.flags]! & TUNNEL_CLOSED) !== 0;
  }

  /** Whether a remote is a known VTEP of a network. */
  isAllowed(network: number, remote: number): boolean {
    const at = network * ALLOWED_WORDS + (remote >>> 5);
    return (((this.allowed[at]! | this.bound[at]!) >>> (remote & 31)) & 1) !== 0;
  }

  /** Whether bindings say that stations of the network are behind a remote. */
  bind(network: number, remote: number, isBound: boolean): void {
    const at = network * ALLOWED_WORDS + (remote >>> 5);
    const bit = 1 << (remote & 31);
    if (isBound) this.bound[at]! |= bit;
    else this.bound[at]! &= ~bit;
  }

  private allow(network: number, remote: number): void {
    this.allowed[network * ALLOWED_WORDS + (remote >>> 5)]! |= 1 << (remote & 31);
  }

  /** Key of the VTEP that a network's tunnel belongs to, 0 = it has no tunnel now. */
  vtepKeyOf(network: number): number {
    return vtepKeyOf(this.program, network);
  }

  /** @coldPath once per program */
  adopt(next: Program, now: number): void {
    const before = this.floodRemotes;
    this.program = next;
    this.vnis.clear(next.tunnels.length / TUNNEL_INTS);
    this.floodRemotes = new Int32Array(next.floods.length / FLOOD_INTS).fill(-1);
    this.allowed.fill(0);
    for (let tunnel = 0; tunnel < next.tunnels.length / TUNNEL_INTS; tunnel++) this.adoptTunnel(tunnel, now);
    for (let at = 0; at < next.routes.length; at += ROUTE_INTS) this.adoptRoute(at, now);
    // After the new ones were pinned: a row that is in both keeps its counters.
    for (const remote of before) if (remote >= 0) this.remotes.unpin(remote);
  }

  /** @coldPath once per program */
  private adoptTunnel(tunnel: number, now: number): void {
    const { tunnels, vteps, floods } = this.program;
    const at = tunnel * TUNNEL_INTS;
    const vtep = tunnels[at + TUNNEL.vtep]!;
    if (tunnels[at + TUNNEL.port]! >= 0) this.vnis.insert(vtep, tunnels[at + TUNNEL.vni]!, tunnel);
    const key = vteps[vtep * VTEP_INTS + VTEP.key]!;
    const first = tunnels[at + TUNNEL.floodFirst]!;
    for (let flood = first; flood < first + tunnels[at + TUNNEL.floodCount]!; flood++) {
      const from = flood * FLOOD_INTS;
      const remote = this.remotes.intern(key, floods[from]!, floods, from + 1, now);
      this.floodRemotes[flood] = remote;
      if (remote < 0) continue;
      this.remotes.pin(remote);
      this.allow(tunnels[at + TUNNEL.network]!, remote);
    }
  }

  /** The router of another host may send from its VTEP. (remote-routes.ts pins the row.) @coldPath once per program */
  private adoptRoute(at: number, now: number): void {
    const { routes } = this.program;
    if ((routes[at + ROUTE_FLAGS_AT]! & ROUTE_REMOTE) === 0) return;
    const network = routes[at + ROUTE_NETWORK_AT]!;
    const key = this.vtepKeyOf(network);
    if (key === NO_VTEP) return;
    const remote = this.remotes.intern(key, routes[at + ROUTE_VTEP_FAMILY_AT]!, routes, at + ROUTE_VTEP_AT, now);
    if (remote >= 0) this.allow(network, remote);
  }
}

/** Key of the VTEP that a network's tunnel belongs to, NO_VTEP = it has no tunnel. @coldPath for changes of the program */
export function vtepKeyOf(program: Program, network: number): number {
  const tunnel = program.networkTunnel[network] ?? -1;
  if (tunnel < 0) return NO_VTEP;
  return program.vteps[program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.vtep]! * VTEP_INTS + VTEP.key]!;
}

/**
 * Forgets the stations that were learned on networks whose tunnel is another now: locations of remotes mean VTEPs that one VTEP of this
 * host talks to, for one network. @coldPath once per program
 */
export function forgetMovedTunnels(before: Program, next: Program, macs: MacTable): void {
  for (let network = 0; network < before.networkCount; network++) {
    const tunnel = before.networkTunnel[network]!;
    if (tunnel < 0) continue;
    const isSame =
      network < next.networkCount &&
      next.networkKey[network] === before.networkKey[network] &&
      vtepKeyOf(next, network) === vtepKeyOf(before, network) &&
      vniOf(next, network) === vniOf(before, network);
    if (!isSame) macs.flush(network);
  }
}

/** @coldPath for changes of the program */
function vniOf(program: Program, network: number): number {
  return program.tunnels[program.networkTunnel[network]! * TUNNEL_INTS + TUNNEL.vni]!;
}
