/**
 * Captures over a restart of the daemon. Those of a lab file belong to the lab and are taken up again; what they wrote
 * before is kept under another name, because a capture file is written from its beginning. All others ended with the
 * daemon, which is told.
 */
import { lstat } from 'node:fs/promises';
import { putAside } from '../../capture/numbered-file.js';
import type { SavedCapture } from '../../model/state-file.js';
import { type Context, warn } from '../context.js';
import type { CaptureRequest } from '../controller/captures.js';
import type { CaptureService } from './capture-service.js';

/** Captures that write a file, to be remembered over a crash. */
export function runningCaptures(captures: CaptureService): SavedCapture[] {
  const running = captures.list().filter(({ state }) => state === 'running');
  return running.flatMap(({ name, file }) => (file === null ? [] : [{ name, file }]));
}

/** `lost`: what ran when the last daemon ended. */
export async function resumeCaptures(context: Context, lost: readonly SavedCapture[]): Promise<void> {
  const { events, state } = context;
  for (const { name, file } of lost) {
    const request = state.captureRequests.get(name) as CaptureRequest | undefined;
    // How many frames or seconds were left is not known.
    const isUnlimited = request !== undefined && request.count === undefined && request.duration === undefined;
    if (isUnlimited) await resume(context, name, request);
    else {
      const message = `capture ${name} ended with the former weftd; what it captured until then is in ${file}`;
      events.add({ type: 'capture-ended', object: 'capture', name, message });
    }
  }
}

async function resume(context: Context, name: string, request: CaptureRequest): Promise<void> {
  try {
    const kept = request.file === undefined ? null : await setAside(request.file);
    await context.captures.start(request);
    await context.ports.settled();
    const former = kept === null ? '' : `; what the former weftd captured is in ${kept}`;
    const message = `capture ${name} started again, into ${request.file}${former}`;
    context.events.add({ type: 'capture-started', object: 'capture', name, message });
  } catch (error) {
    warn(context, `capture ${name} could not be started again: ${(error as Error).message}`, 'capture', name);
  }
}

/** null when there is no regular file. */
async function setAside(file: string): Promise<string | null> {
  const isFile = (await lstat(file).catch(() => null))?.isFile() ?? false;
  return isFile ? putAside(file) : null;
}
