/**
 * Routes that lead through a tunnel to the router of another host (ROUTE_REMOTE): which row of the table of other VTEPs each of them
 * goes to. Found out once per program, so that a packet needs no lookup; the rows stay while the program does.
 */
import type { RemoteTable } from '../tables/remote-table.js';
import { type Program, ROUTE_INTS, ROUTE_REMOTE, TUNNEL, TUNNEL_INTS, VTEP, VTEP_INTS } from './program.js';

/** Columns of a row of `routes`. */
const NETWORK_AT = 6;
const FLAGS_AT = 11;
const VTEP_AT = 12;
const FAMILY_AT = 16;
/** MAC high and low of the router there, VNI to send with. */
export const ROUTER_MAC_AT = 17;
export const VNI_AT = 19;
/** The tunnel is not there now, or the table has no room. */
export const NO_REMOTE = -1;

export class RemoteRoutes {
  /** By route (index in `routes` divided by ROUTE_INTS): row of the remote table. */
  private remotes = new Int32Array(0);
  private readonly table: RemoteTable;

  constructor(table: RemoteTable) {
    this.table = table;
  }

  /** @coldPath once per program */
  adopt(program: Program, now: number): void {
    const before = this.remotes;
    const { routes } = program;
    this.remotes = new Int32Array(routes.length / ROUTE_INTS).fill(NO_REMOTE);
    for (let row = 0; row < this.remotes.length; row++) {
      const at = row * ROUTE_INTS;
      if ((routes[at + FLAGS_AT]! & ROUTE_REMOTE) === 0) continue;
      const tunnel = program.networkTunnel[routes[at + NETWORK_AT]!]!;
      if (tunnel < 0) continue;
      const vtep = program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.vtep]! * VTEP_INTS;
      const remote = this.table.intern(
        program.vteps[vtep + VTEP.key]!,
        routes[at + FAMILY_AT]!,
        routes,
        at + VTEP_AT,
        now,
      );
      if (remote < 0) continue;
      this.table.pin(remote);
      this.remotes[row] = remote;
    }
    // Last, so that what both programs need is never without a pin.
    for (const remote of before) if (remote !== NO_REMOTE) this.table.unpin(remote);
  }

  /** Row of the remote table that the route at `at` of `routes` goes to, or NO_REMOTE. */
  remoteOf(at: number): number {
    return this.remotes[(at / ROUTE_INTS) | 0]!;
  }
}
