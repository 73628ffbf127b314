/**
 * Writing into a pipe that somebody reads, or has stopped reading: named pipes are opened without waiting for ever, and a
 * reader that goes away is noticed also while nothing is written. Node tells of that only at the next write, so the kernel
 * is asked now and then.
 */
import { constants, openSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { CliNative } from './session.js';

const { O_WRONLY, O_NONBLOCK } = constants;
const OPEN_INTERVAL_MS = 100;
const WATCH_INTERVAL_MS = 500;

export function isNamedPipe(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFIFO() ?? false;
}

/** Resolves when somebody reads the pipe; null when `isWanted` says no first. Rejects when it cannot be opened. */
export async function openNamedPipe(
  path: string,
  isWanted: () => boolean,
): Promise<(Writable & { fd: number }) | null> {
  while (isWanted()) {
    const fd = openUnlessUnread(path);
    if (fd !== null) return Object.assign(new Socket({ fd, readable: false, writable: true }), { fd });
    await new Promise((resolve) => setTimeout(resolve, OPEN_INTERVAL_MS));
  }
  return null;
}

/** Calls back once when nobody reads the pipe or socket `fd` any more. Returns how to end it. */
export function watchReader(native: Pick<CliNative, 'hasReader'>, fd: number, onGone: () => void): () => void {
  const timer = setInterval(() => {
    if (native.hasReader(fd) !== 0) return;
    clearInterval(timer);
    onGone();
  }, WATCH_INTERVAL_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** null when nobody reads it: without a reader, the kernel refuses to open a FIFO without waiting (fifo(7)). */
function openUnlessUnread(path: string): number | null {
  try {
    return openSync(path, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') return null;
    throw error;
  }
}
