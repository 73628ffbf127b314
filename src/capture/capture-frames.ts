/**
 * The frames of a capture file or stream, one after the other: the one way in for whoever reads captures (`weft capture`,
 * `weft capture read`, replay). Formats are the business of capture-file-reader.ts.
 *
 * Holds one piece of input at a time: what the consumer does not ask for is not read.
 */
import { CaptureFileReader } from './capture-file-reader.js';
import type { FileFrame } from './file-frame.js';

/** The input is damaged, cut short, or no capture at all; the message says which. Frames in front of it were given. */
export class CaptureFileError extends Error {
  /** Whether only the rest is missing: the input ended too early. */
  readonly isCut: boolean;

  constructor(message: string, isCut: boolean) {
    super(message);
    this.name = 'CaptureFileError';
    this.isCut = isCut;
  }
}

/** Yields every whole frame. Then throws a CaptureFileError when the input was not a whole capture. */
export async function* readCaptureFrames(input: AsyncIterable<Uint8Array>): AsyncGenerator<FileFrame, void, void> {
  const reader = new CaptureFileReader();
  let frames = 0;
  for await (const chunk of input) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== null; frame = reader.next()) {
      frames++;
      yield frame;
    }
    if (reader.error !== null) throw new CaptureFileError(`${reader.error}, behind ${counted(frames)}`, false);
  }
  if (reader.isEmpty) throw new CaptureFileError('the input is empty', true);
  if (reader.pendingBytes > 0) {
    throw new CaptureFileError(`the input is cut short in the middle of a record, behind ${counted(frames)}`, true);
  }
}

function counted(frames: number): string {
  return frames === 1 ? '1 frame' : `${frames} frames`;
}
