/**
 * Moves frames between two TAPs as they are: the least that lets two namespaces talk. For tests of what is around it.
 */
import { readSync, writeSync } from 'node:fs';
import type { Tap } from '../../src/control/kernel/kernel.js';

export class Pump {
  readonly #timer: NodeJS.Timeout;
  readonly #room = Buffer.alloc(70_000);

  constructor(left: Tap, right: Tap) {
    this.#timer = setInterval(() => {
      this.#move(left.fd, right.fd);
      this.#move(right.fd, left.fd);
    }, 2);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #move(from: number, to: number): void {
    for (let i = 0; i < 256; i++) {
      let bytes: number;
      try {
        bytes = readSync(from, this.#room);
      } catch {
        return; // EAGAIN: no more for now
      }
      try {
        writeSync(to, this.#room, 0, bytes);
      } catch {
        // as a wire that loses a frame
      }
    }
  }
}
