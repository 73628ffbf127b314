/**
 * Captures that come through this process: to the terminal as lines or JSON, to stdout or a named pipe as a capture file. They end
 * with Ctrl-C, with their count or duration, or when nobody reads any more, also while no frame comes.
 */
import { once } from 'node:events';
import { constants, createWriteStream, openSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { CaptureFileError } from '../../capture/capture-frames.js';
import { CliError } from '../failure.js';
import type { Interruption } from '../interruption.js';
import { openNamedPipe, watchReader } from '../pipe-output.js';
import { lossSummary } from '../render/capture.js';
import type { Session } from '../session.js';
import { TextOutput } from '../text-output.js';
import { writeAndWait } from '../write-and-wait.js';
import { stopCapture } from './capture-calls.js';
import { printFrames } from './capture-read.js';

const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
const FILE_MODE = 0o640;

export async function streamToTerminal(session: Session, body: object, interruption: Interruption): Promise<void> {
  const { stdout } = session.world;
  await stream(session, body, interruption, stdout, stdout.fd, (response) => print(session, response));
}

export async function streamToStdout(session: Session, body: object, interruption: Interruption): Promise<void> {
  const { stdout } = session.world;
  if (stdout.isTTY) throw new CliError('a capture is no text', 'stdout is a terminal', 'use -w FILE or a pipe');
  await stream(session, body, interruption, stdout, stdout.fd, (response) => copy(response, stdout));
}

/** Writes the file itself, with the rights of the user. False, and nothing happened, when those do not do either. */
export async function streamToFile(
  session: Session,
  body: object,
  path: string,
  interruption: Interruption,
): Promise<boolean> {
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE);
  } catch {
    return false;
  }
  session.note(`capturing to ${path}, which this command writes, as weftd may not; Ctrl-C ends it`);
  const file = createWriteStream(path, { fd });
  const failed = once(file, 'error').then(([error]) => {
    throw new CliError('the capture failed', (error as Error).message, 'the file has what came before');
  });
  const written = (async () => {
    const totals = await stream(session, body, interruption, file, undefined, (response) => copy(response, file));
    await finished(file.end());
    if (session.isJson) session.answer({ file: path, ...totals }, '');
  })();
  await Promise.race([failed, written]);
  return true;
}

/** Waits for a reader of the pipe first. */
export async function streamToPipe(
  session: Session,
  body: object,
  path: string,
  interruption: Interruption,
): Promise<void> {
  session.note(`capturing to the pipe ${path} as soon as somebody reads it; Ctrl-C ends it`);
  let pipe: (Writable & { fd: number }) | null = null;
  try {
    pipe = await openNamedPipe(path, () => !interruption.isRequested);
  } catch (error) {
    throw new CliError(`cannot write into ${path}`, (error as Error).message, 'name a pipe that you may write into');
  }
  if (pipe === null) return;
  // EPIPE; `close` follows, and that is what is waited for.
  pipe.on('error', () => {});
  try {
    const output = pipe;
    await stream(session, body, interruption, output, output.fd, (response) => copy(response, output));
  } finally {
    pipe.end();
  }
}

/**
 * Resolves with what the daemon counted; null when this end did not wait for it. `watchedFd`: a pipe whose reader may go away.
 */
async function stream(
  session: Session,
  body: object,
  interruption: Interruption,
  output: Writable,
  watchedFd: number | undefined,
  consume: (response: IncomingMessage) => Promise<void>,
): Promise<{ frames: number; lost: number } | null> {
  const native = watchedFd === undefined ? null : await session.world.loadNative();
  const call = { what: 'cannot capture', method: 'POST', path: '/v1/captures/stream', body, accept: '*/*' } as const;
  const response = await session.client.open(call);
  const name = String(response.headers['weft-capture'] ?? '');
  let isRead = true;
  interruption.onRequest(() => {
    // The stream ends when the daemon has sent what it has; if it cannot be told, the stream is cut.
    stopCapture(session, name).catch(() => response.destroy());
  });
  const readerGone = () => {
    isRead = false;
    response.destroy();
  };
  output.once('close', readerGone);
  const unwatch = native === null ? () => {} : watchReader(native, watchedFd!, readerGone);
  try {
    await consume(response);
  } catch (error) {
    // The reader of the pipe or the daemon is gone: what was captured has been written.
    if (!response.destroyed) throw error;
  } finally {
    unwatch();
    output.off('close', readerGone);
  }
  const { 'weft-frames': frames, 'weft-lost': lost } = response.trailers;
  if (frames === undefined) {
    if (isRead && !interruption.isRequested)
      throw new CliError('the capture broke off', 'weftd has stopped', 'start it again');
    return null;
  }
  const totals = { frames: Number(frames), lost: Number(lost ?? 0) };
  session.note(lossSummary(totals.frames, totals.lost));
  return totals;
}

/** Waits for a slow reader; what the daemon cannot send meanwhile it counts as lost. */
async function copy(response: IncomingMessage, output: Writable): Promise<void> {
  for await (const chunk of response) if (!(await writeAndWait(output, chunk))) return;
}

async function print(session: Session, response: IncomingMessage): Promise<void> {
  const output = new TextOutput(session.world.stdout);
  try {
    await printFrames(session, output, response, Number.POSITIVE_INFINITY);
  } catch (error) {
    if (!(error instanceof CaptureFileError)) throw error;
    // A stream that is cut has no trailers either, and that is told.
    if (!error.isCut) throw new CliError('cannot read the capture', error.message, 'please report it');
  } finally {
    await output.flush();
  }
}
