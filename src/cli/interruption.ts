/**
 * The user's wish to end a command: Ctrl-C, SIGTERM or SIGHUP. It counts from the construction on, so a command makes
 * this before it starts what has to be ended, and before it says that Ctrl-C ends it.
 */
import type { CliWorld } from './session.js';

export class Interruption {
  readonly forget: () => void;
  #isRequested = false;
  #listener: () => void = () => {};

  constructor(world: Pick<CliWorld, 'onInterrupt'>) {
    this.forget = world.onInterrupt(() => {
      this.#isRequested = true;
      this.#listener();
    });
  }

  get isRequested(): boolean {
    return this.#isRequested;
  }

  /** Calls back at the request, at once when it was made before; there is one listener, the last. */
  onRequest(listener: () => void): void {
    this.#listener = listener;
    if (this.#isRequested) listener();
  }
}
