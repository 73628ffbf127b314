/** What `weft capture read` does: the frames of a capture file, one line each, as a live capture prints them. Needs no daemon. */
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { CaptureFileError, readCaptureFrames } from '../../capture/capture-frames.js';
import { printable } from '../../lib/printable.js';
import { CliError } from '../failure.js';
import { absolutePath } from '../options.js';
import { frameJson, frameLine } from '../render/frame-line.js';
import type { Session } from '../session.js';
import { TextOutput } from '../text-output.js';

export async function readCapture(session: Session, file: string, count: number): Promise<void> {
  const input = inputOf(session, file);
  const output = new TextOutput(session.world.stdout);
  // Ctrl-C: what is printed is what there was time for.
  let isInterrupted = false;
  const forget = session.world.onInterrupt(() => {
    isInterrupted = true;
    input.destroy();
  });
  try {
    await printFrames(session, output, input, count);
  } catch (error) {
    if (!isInterrupted) throw explain(file, error);
  } finally {
    forget();
    await output.flush();
  }
}

/** The first `count` frames, as the session wants them. Throws a CaptureFileError behind those that it could read. */
export function printFrames(session: Session, output: TextOutput, input: Readable, count: number): Promise<void> {
  return (session.isJson ? printJson : printLines)(output, input, count);
}

function inputOf({ world }: Session, file: string): Readable {
  if (file !== '-') return createReadStream(absolutePath(world, file));
  if ('isTTY' in world.stdin && world.stdin.isTTY === true) {
    throw new CliError('cannot read stdin', 'it is a terminal', 'name a file, or use a pipe');
  }
  return world.stdin;
}

async function printLines(output: TextOutput, input: Readable, count: number): Promise<void> {
  let left = count;
  for await (const frame of readCaptureFrames(input)) {
    if (!(await output.write(`${printable(frameLine(frame))}\n`)) || --left === 0) return;
  }
}

/** One array with a line per frame, complete also when the file is not. */
async function printJson(output: TextOutput, input: Readable, count: number): Promise<void> {
  let left = count;
  let before = '[';
  try {
    for await (const frame of readCaptureFrames(input)) {
      const isRead = await output.write(`${before}\n  ${frameJson(frame)}`);
      before = ',';
      if (!isRead || --left === 0) return;
    }
  } finally {
    await output.write(before === '[' ? '[]\n' : '\n]\n');
  }
}

function explain(file: string, error: unknown): Error {
  const name = file === '-' ? 'stdin' : file;
  if (error instanceof CaptureFileError) {
    const remedy = error.isCut ? 'every whole frame of it is printed' : 'frames behind that cannot be found';
    return new CliError(`cannot read all of ${name}`, error.message, remedy);
  }
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return new CliError(`cannot read ${name}`, `there is no such file (${code})`, 'check the path');
  return code === undefined
    ? (error as Error)
    : new CliError(`cannot read ${name}`, message, 'name a file you may read');
}
