/**
 * The worker's end of the punt ring: frames for services that run in the control thread (DHCP). A capture ring of its own, whose
 * reader does not look now and then but is woken when a turn has left something for it.
 */
import type { PuntSink } from '../datapath/punts.js';
import { HEAD_WORD } from './capture-layout.js';
import { CaptureRing } from './capture-ring.js';

/** Requests to services are short; this holds some hundred of the longest. */
export const PUNT_RING_BYTES = 1 << 18;

export class PuntRing extends CaptureRing implements PuntSink {
  override commit(): void {
    super.commit();
    Atomics.notify(this.control, HEAD_WORD);
  }
}
