/**
 * weft capture: frames to the terminal, to a file or to a pipe, until Ctrl-C, a count or a duration; and captures that
 * run in the background: start, list, show, stop.
 *
 * A file is written by the daemon, so that nothing that happens to this process can damage it. A stream comes through
 * this process: as it is with `-w -`, one line per frame without -w.
 */
import type { IncomingMessage } from 'node:http';
import { Argument, type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { completes } from '../completion/kinds.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import { absolutePath, given, integerOption, nameOf, objectOption, readSeconds } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import { bytes, counted } from '../render/units.js';
import type { Session } from '../session.js';

type Capture = SchemaTypes['Capture'];

interface CaptureOptions {
  network?: string;
  endpoint?: string;
  all?: boolean;
  write?: string;
  name?: string;
  format?: 'pcapng' | 'pcap';
  count?: number;
  duration?: number;
  snaplen?: number;
  drops?: boolean;
}

/** How often a capture to a file is asked whether it has ended. */
const POLL_MS = 200;

export function addCaptureCommand(program: Command, session: Session): void {
  const capture = program.command('capture').description('record frames: to the terminal, a file or a pipe');
  // What stands behind a verb (start, list, ...) are the options of that verb.
  capture.enablePositionalOptions();
  addCaptureOptions(capture);
  capture
    .addHelpText(
      'after',
      examples(
        'weft capture --network front',
        'weft capture --endpoint web-front -w web.pcapng tcp port 80',
        'weft capture --all --drops -w - | tshark -r -',
        'weft capture start --network back -w back.pcapng --name night',
      ),
    )
    .action(async (filter: string[], options: CaptureOptions) => {
      const body = requestOf(capture, session, options, filter);
      if (options.write === undefined || options.write === '-') return stream(session, body, options.write === '-');
      return captureToFile(session, body);
    });
  addStart(capture, session);
  addListAndShow(capture, session);
  capture
    .command('stop')
    .description('stop a capture; its file stays')
    .addArgument(nameOf('capture'))
    .action(async (name: string) => {
      const view = await stop(session, name);
      session.answer(view, `capture ${name} stopped: ${summary(view)}`);
    });
}

function addCaptureOptions(command: Command): void {
  const file = new Option('-w, --write <FILE>', 'write a capture file; - for stdout');
  command
    .addOption(objectOption('--network <NET>', 'frames of this network', 'network').conflicts(['endpoint', 'all']))
    .addOption(objectOption('--endpoint <E>', 'frames of this endpoint', 'endpoint').conflicts('all'))
    .option('--all', 'frames of every endpoint (the default)')
    .addOption(completes(file, 'file'))
    .addOption(new Option('--format <FORMAT>', 'of the file').choices(['pcapng', 'pcap']))
    .addOption(integerOption('--count <N>', 'end after N frames', 1, Number.MAX_SAFE_INTEGER))
    .addOption(new Option('--duration <SECONDS>', 'end after this time').argParser(readSeconds))
    .addOption(integerOption('--snaplen <N>', 'bytes kept of each frame; 0 = all', 0, 262144))
    .option('--drops', 'also frames that were dropped, with the reason')
    .addOption(new Option('--name <NAME>', 'name of the capture; else weft chooses one'))
    .addArgument(new Argument('[FILTER...]', 'only frames that match, e.g. tcp port 80'));
}

function addStart(capture: Command, session: Session): void {
  const start = capture.command('start').description('capture to a file in the background');
  addCaptureOptions(start);
  start.action(async (filter: string[], options: CaptureOptions) => {
    if (options.write === undefined || options.write === '-') {
      start.error('a capture in the background needs a file: -w FILE');
    }
    const body = requestOf(start, session, options, filter);
    const view = await startCapture(session, body);
    session.answer(
      view,
      `capture ${view.name} started: writes ${view.file}; end it with weft capture stop ${view.name}`,
    );
  });
}

function addListAndShow(capture: Command, session: Session): void {
  capture
    .command('list')
    .alias('ls')
    .description('all captures')
    .action(async () => {
      const call = { what: 'cannot list the captures', method: 'GET', path: '/v1/captures' } as const;
      const captures = await session.client.call<Capture[]>(call);
      session.answer(captures, captures.length === 0 ? 'no captures' : listText(captures));
    });
  capture
    .command('show')
    .alias('inspect')
    .description('everything about one capture')
    .addArgument(nameOf('capture'))
    .action(async (name: string) => {
      const path = objectPath('captures', name);
      const view = await session.client.call<Capture>({ what: `cannot show capture ${name}`, method: 'GET', path });
      session.answer(view, showText(view));
    });
}

function requestOf(command: Command, session: Session, options: CaptureOptions, filter: string[]): object {
  const { network, endpoint, write } = options;
  if (options.format === 'pcap' && write === undefined) command.error("option '--format' needs '--write'");
  return given({
    name: options.name,
    network,
    endpoint,
    all: network === undefined && endpoint === undefined ? true : undefined,
    file: write === undefined || write === '-' ? undefined : absolutePath(session.world, write),
    format: options.format,
    count: options.count,
    duration: options.duration,
    snaplen: options.snaplen,
    filter: filter.length > 0 ? filter.join(' ') : undefined,
    drops: options.drops,
  });
}

function startCapture(session: Session, body: object): Promise<Capture> {
  return session.client.call<Capture>({ what: 'cannot capture', method: 'POST', path: '/v1/captures', body });
}

function stop(session: Session, name: string): Promise<Capture> {
  const path = objectPath('captures', name, '/stop');
  return session.client.call<Capture>({ what: `cannot stop capture ${name}`, method: 'POST', path });
}

/** The daemon writes the file; this process waits and ends the capture on Ctrl-C. */
async function captureToFile(session: Session, body: object): Promise<void> {
  const started = await startCapture(session, body);
  session.note(`capturing to ${started.file}; Ctrl-C ends it`);
  let view = started;
  let wake: () => void = () => {};
  let interrupted = false;
  const forget = session.world.onInterrupt(() => {
    interrupted = true;
    wake();
  });
  try {
    while (view.state === 'running' && !interrupted) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, POLL_MS);
      });
      const path = objectPath('captures', started.name);
      view = await session.client.call<Capture>({ what: 'cannot watch the capture', method: 'GET', path });
    }
    // Ended captures stay listed until they are stopped: this one was only for this command.
    const last = await stop(session, started.name);
    if (last.state === 'failed')
      throw new CliError('the capture failed', last.reason ?? '', 'the file has what came before');
    if (session.isJson) session.answer(last, '');
    else session.note(`${summary(last)}, ${last.file}`);
  } finally {
    forget();
  }
}

async function stream(session: Session, body: object, isRaw: boolean): Promise<void> {
  const { stdout } = session.world;
  if (isRaw && stdout.isTTY)
    throw new CliError('a capture is no text', 'stdout is a terminal', 'use -w FILE or a pipe');
  const what = 'cannot capture';
  const response = await session.client.open({
    what,
    method: 'POST',
    path: '/v1/captures/stream',
    body,
    accept: '*/*',
  });
  const name = String(response.headers['weft-capture'] ?? '');
  let isWanted = true;
  const forget = session.world.onInterrupt(() => {
    isWanted = false;
    // The stream ends when the daemon has sent what it has; if it cannot be told, the stream is cut.
    stop(session, name).catch(() => response.destroy());
  });
  const readerGone = () => {
    isWanted = false;
    response.destroy();
  };
  stdout.once('close', readerGone);
  try {
    if (isRaw) await copy(response, stdout);
    else await describe(session, response);
  } finally {
    forget();
    stdout.off('close', readerGone);
  }
  const { 'weft-frames': frames, 'weft-lost': lost } = response.trailers;
  if (frames !== undefined) session.note(lossSummary(Number(frames), Number(lost ?? 0)));
  else if (isWanted) throw new CliError('the capture broke off', 'weftd has stopped', 'start it again');
}

/** Waits for a slow reader of stdout; what the daemon cannot send meanwhile it counts as lost. */
async function copy(response: IncomingMessage, stdout: NodeJS.WritableStream): Promise<void> {
  try {
    for await (const chunk of response) {
      if (!stdout.write(chunk)) await new Promise<void>((resolve) => stdout.once('drain', resolve));
    }
  } catch (error) {
    if (!response.destroyed) throw error;
    // The reader of the pipe or the daemon is gone: what was captured has been written.
  }
}

async function describe(session: Session, response: IncomingMessage): Promise<void> {
  const { frameLines } = await import('../render/frame-line.js');
  try {
    for await (const line of frameLines(response)) session.print(line);
  } catch (error) {
    if (!response.destroyed) throw error;
  }
}

function lossSummary(frames: number, lost: number): string {
  return `${counted(frames, 'frame')} captured, ${lost} lost`;
}

function summary(view: Capture): string {
  return `${lossSummary(view.frames, view.lost)}, ${bytes(view.bytes)}`;
}

function scopeOf(view: Capture): string {
  if (view.endpoint !== null) return `endpoint ${view.endpoint}`;
  return view.network === null ? 'everything' : `network ${view.network}`;
}

function listText(captures: Capture[]): string {
  return tableText(
    [
      { title: 'NAME' },
      { title: 'STATE' },
      { title: 'SCOPE' },
      { title: 'FILTER' },
      { title: 'FRAMES', right: true },
      { title: 'LOST', right: true },
      { title: 'SIZE', right: true },
      { title: 'FILE' },
    ],
    captures.map((view) => [
      view.name,
      view.state,
      scopeOf(view),
      view.filter,
      String(view.frames),
      String(view.lost),
      bytes(view.bytes),
      view.file ?? 'stream',
    ]),
  );
}

function showText(view: Capture): string {
  return fieldsText([
    ['Name', view.name],
    ['State', view.reason === null ? view.state : `${view.state}: ${view.reason}`],
    ['Scope', scopeOf(view)],
    ['Filter', view.filter],
    ['Dropped frames', view.drops ? 'included' : 'not included'],
    ['File', view.file ?? 'stream'],
    ['Format', view.format],
    ['Snaplen', String(view.snaplen)],
    ['Frames', String(view.frames)],
    ['Lost', String(view.lost)],
    ['Size', bytes(view.bytes)],
    ['Started', view.startedAt],
  ]);
}
