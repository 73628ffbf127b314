/**
 * What the stages of the router share: the memory of the frames, and all that the router has learned. One instance per datapath;
 * the stages get it as an argument and keep nothing themselves.
 */
import type { FrameVector } from '../frames/frame-vector.js';
import { HoldPool } from '../frames/hold-pool.js';
import type { Slab } from '../frames/slab.js';
import type { PortIo } from '../ports/port.js';
import type { MacTable } from '../tables/mac-table.js';
import { NeighbourTable } from '../tables/neighbour-table.js';
import { RateLimiter } from '../tables/rate-limiter.js';
import type { RemoteTable } from '../tables/remote-table.js';
import type { Nat } from './nat.js';
import { NatState } from './nat-state.js';
import { OwnAddresses } from './own-addresses.js';
import { emptyProgram, MAX_NETWORKS, MAX_PORTS, type Program } from './program.js';
import type { Punts } from './punts.js';
import { RemoteRoutes } from './remote-routes.js';

export class RouterState {
  program: Program = emptyProgram();
  readonly frames: FrameVector;
  readonly slab: Slab;
  readonly io: PortIo;
  readonly macs: MacTable;
  readonly punts: Punts;
  readonly nat: NatState;
  readonly own: OwnAddresses;
  readonly neighbours: NeighbourTable;
  readonly remoteRoutes: RemoteRoutes;
  readonly holds = new HoldPool(MAX_PORTS);
  readonly errors = new RateLimiter(MAX_PORTS);
  /** By network: router advertisements sent since it advertises, and when the next one is due. */
  readonly advertisedCount = new Uint8Array(MAX_NETWORKS);
  readonly advertiseDueMs = new Int32Array(MAX_NETWORKS);
  /** Eight words for addresses that are being built: the first four are used by whoever is called, the last four by callers. */
  readonly scratch = new Int32Array(8);

  /** `seed`: any integer, not known to senders. */
  constructor(
    frames: FrameVector,
    slab: Slab,
    io: PortIo,
    macs: MacTable,
    remotes: RemoteTable,
    punts: Punts,
    flows: Nat,
    seed: number,
  ) {
    this.frames = frames;
    this.slab = slab;
    this.io = io;
    this.macs = macs;
    this.punts = punts;
    this.nat = new NatState(flows, seed);
    this.own = new OwnAddresses(seed);
    this.neighbours = new NeighbourTable(MAX_NETWORKS, seed);
    this.remoteRoutes = new RemoteRoutes(remotes);
  }
}
