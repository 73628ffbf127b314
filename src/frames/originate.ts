/**
 * Frames that weft makes itself: ARP answers, errors, router advertisements. They stand in rows behind the arrivals and leave
 * in the same turn.
 *
 * A row made here is a plain untagged frame without an ingress port; its bytes are the writer's. The writer ends its fate with
 * `forward`; a row that nobody forwards is a bug, because every frame has a fate.
 */
import { GSO_NONE, writePlain } from '../wire/vnet-header.js';
import { COMPLETE, type FrameVector, NO_INTEREST, PENDING } from './frame-vector.js';
import { HEADROOM_BYTES, ORIGINATED_AT, ORIGINATED_FRAMES, ORIGINATED_SLOT_BYTES, type Slab } from './slab.js';

/** The longest frame that can be originated. */
export const MAX_ORIGINATED_BYTES = ORIGINATED_SLOT_BYTES - HEADROOM_BYTES - 2;
/** `ingressPort` of an originated row. */
export const NO_PORT = -1;

/**
 * Takes a row for a frame of `length` bytes, or -1 when this turn has made as many as it may. The writer sets `network` too: for a
 * frame that floods it says who gets it.
 */
export function originate(frames: FrameVector, slab: Slab, length: number): number {
  const slot = frames.originated;
  if (slot >= ORIGINATED_FRAMES || length > MAX_ORIGINATED_BYTES) return -1;
  frames.originated = slot + 1;
  const row = frames.count + slot;
  // As the addon does for arrivals (native/burst.c): two bytes behind a multiple of 16, so that the IP header is aligned.
  const start = ORIGINATED_AT + slot * ORIGINATED_SLOT_BYTES + HEADROOM_BYTES + 2;
  frames.start[row] = start;
  frames.length[row] = length;
  frames.ingressPort[row] = NO_PORT;
  frames.ingressRemote[row] = -1;
  frames.network[row] = -1;
  frames.vlan[row] = 0;
  frames.tagged[row] = 0;
  frames.l3At[row] = start + 14;
  frames.gsoType[row] = GSO_NONE;
  frames.gsoEcn[row] = 0;
  frames.checksumStart[row] = COMPLETE;
  frames.pieceBytes[row] = 0;
  frames.originalAt[row] = 0;
  frames.interest[row] = NO_INTEREST;
  frames.verdict[row] = PENDING;
  writePlain(slab.view, start - 12);
  return row;
}
