/** What a port must accept to take a super-frame whole. The bits are those of TUN_F_* (linux/if_tun.h), as in `portAccepts`. */
import * as vnet from '../wire/vnet-header.js';
import type { FrameVector } from './frame-vector.js';

const TSO4 = 0x02;
const TSO6 = 0x04;
const TSO_ECN = 0x08;
const USO = 0x20;

/** Bits of `portAccepts` that must be set to take row `i`, a super-frame, as it is. */
export function gsoAcceptBits(frames: FrameVector, i: number): number {
  const ecn = frames.gsoEcn[i] !== 0 ? TSO_ECN : 0;
  switch (frames.gsoType[i]) {
    case vnet.GSO_TCP4:
      return TSO4 | ecn;
    case vnet.GSO_TCP6:
      return TSO6 | ecn;
    default:
      return USO;
  }
}
