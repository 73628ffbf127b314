/**
 * What the NAT stages share: rules of the program, flows, fragments, held SYNs, and room to compute in. One instance per datapath; the
 * stages get it as an argument.
 */
import { EmbeddedColumns } from '../frames/embedded-packet.js';
import { HOLD_FRAGMENT, type HoldPool } from '../frames/hold-pool.js';
import { KeyedHash } from '../lib/keyed-hash.js';
import { FragmentTable } from '../tables/fragment-table.js';
import { MAX_PENDING, PendingSyns } from '../tables/pending-syns.js';
import type { Nat } from './nat.js';
import { NatRules } from './nat-rules.js';
import type { Program } from './program.js';

/** Key of a held SYN in the hold pool: this bit and its slot. */
export const HOLD_SYN = 0x20000000;
/** Makes the hash of the fragment table another one than those of the flow tables. */
const FRAGMENT_HASH = 100;
/** Fragmented packets and held SYNs whose time may have ended, looked at per turn. */
const SWEEP_STEPS = 16;

/** Ports drawn for one mapping, at most: those that turn out to be published are not used. */
export const PORT_DRAWS = 16;

export class NatState {
  readonly flows: Nat;
  readonly rules: NatRules;
  readonly fragments: FragmentTable;
  readonly syns: PendingSyns;
  readonly embedded = new EmbeddedColumns();
  /** Four words for an address that is being built; whoever uses it is done with it before it calls anybody. */
  readonly scratch = new Int32Array(4);
  readonly drawnPorts = new Int32Array(PORT_DRAWS);
  /** What `isExternal` was asked last, and said yes to. */
  private knownNetwork = -1;
  private knownAddress = 0;
  private knownFamily = 0;

  /** `seed`: any integer, not known to senders. */
  constructor(flows: Nat, seed: number) {
    this.flows = flows;
    this.rules = new NatRules(seed);
    this.fragments = new FragmentTable(new KeyedHash(seed, ~seed, FRAGMENT_HASH));
    this.syns = new PendingSyns(seed);
  }

  /** @coldPath once per program */
  adopt(program: Program, now: number): void {
    this.knownNetwork = -1;
    this.rules.adopt(program);
    this.flows.adopt(program, now);
  }

  /** Lets go what has waited long enough. To be called once per turn, before released frames are taken in. */
  tick(holds: HoldPool, now: number): void {
    if (this.fragments.count > 0) {
      for (let step = 0; step < SWEEP_STEPS; step++) {
        const entry = this.fragments.sweep(now, SWEEP_STEPS);
        if (entry < 0) break;
        holds.release(HOLD_FRAGMENT | entry);
      }
    }
    for (let step = 0; this.syns.count > 0 && step < SWEEP_STEPS; step++) {
      const slot = this.syns.sweep(now, MAX_PENDING);
      if (slot < 0) break;
      holds.release(HOLD_SYN | slot);
    }
  }

  /** Writes the four words of an address id into a column. */
  writeAddress(family: number, id: number, to: Int32Array, at: number): void {
    if (family === 4) {
      to[at] = id;
      to[at + 1] = 0;
      to[at + 2] = 0;
      to[at + 3] = 0;
      return;
    }
    const { addresses } = this.flows;
    for (let word = 0; word < 4; word++) to[at + word] = addresses.word(id, word);
  }

  /**
   * Whether an external address is one of the network's: the lab may have changed under its sessions. Runs of packets ask for the same
   * one, so the last answer is kept.
   */
  isExternal(network: number, family: number, id: number): boolean {
    if (this.knownNetwork === network && this.knownAddress === id && this.knownFamily === family) return true;
    this.writeAddress(family, id, this.scratch, 0);
    if (!this.rules.isExternal(network, family, this.scratch, 0)) return false;
    this.knownNetwork = network;
    this.knownAddress = id;
    this.knownFamily = family;
    return true;
  }
}
