/**
 * The control thread's end of the punt ring: hands each frame that the datapath has for a service to whoever serves it, as soon
 * as it comes, and a few at a time, because the API runs in the same thread.
 */
import { setImmediate } from 'node:timers/promises';
import type { CapturedFrame } from '../capture/capture-ring-reader.js';
import { CaptureRingReader } from '../capture/capture-ring-reader.js';

const FRAMES_PER_SLICE = 32;

export class PuntReader {
  private readonly ring: CaptureRingReader;
  private readonly visit: (frame: CapturedFrame) => void;
  private isStopped = false;

  /** `visit` is called with each frame; it is valid only inside of the call, and must not throw. */
  constructor(memory: SharedArrayBuffer, visit: (frame: CapturedFrame) => void) {
    this.ring = new CaptureRingReader(memory);
    this.visit = visit;
  }

  /** Reads until it is stopped; resolves then. */
  async run(): Promise<void> {
    while (!this.isStopped) {
      if (this.ring.read(this.visit, FRAMES_PER_SLICE) === 0) await this.ring.waitForMore();
      else await setImmediate();
    }
  }

  stop(): void {
    this.isStopped = true;
    this.ring.stopWaiting();
  }
}
