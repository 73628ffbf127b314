/**
 * weft capture: frames to the terminal, to a file or to a pipe, until Ctrl-C, a count or a duration; captures that run in
 * the background: start, list, show, stop; and capture files: read.
 *
 * A file is written by the daemon, so that nothing that happens to this process can damage it. A stream comes through
 * this process (capture-stream.ts): as it is with `-w -` and into a named pipe, one line per frame without -w.
 */
import { Argument, type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { completes } from '../completion/kinds.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import { Interruption } from '../interruption.js';
import { absolutePath, byteOption, given, integerOption, nameOf, objectOption, readSeconds } from '../options.js';
import { isNamedPipe } from '../pipe-output.js';
import { listText, showText, summary } from '../render/capture.js';
import type { Session } from '../session.js';
import { startCapture, stopCapture } from './capture-calls.js';

type Capture = SchemaTypes['Capture'];

interface CaptureOptions {
  network?: string;
  endpoint?: string;
  all?: boolean;
  underlay?: boolean;
  write?: string;
  name?: string;
  format?: 'pcapng' | 'pcap';
  count?: number;
  duration?: number;
  snaplen?: number;
  drops?: boolean;
  rotateSize?: number;
  rotateFiles?: number;
}

const ROTATION = `

With --rotate-size, FILE is always the newest; when it is full it becomes FILE.1.pcapng (the number stands in front of the
extension), the next one FILE.2.pcapng, and so on. Each can be read by itself. Files of earlier captures are not touched.`;

/** How often a capture to a file is asked whether it has ended. */
const POLL_MS = 200;

/** What is sent to the daemon; these fields matter here too. */
interface CaptureBody {
  file?: string | undefined;
  rotateSize?: number | undefined;
}

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
        'weft capture --network ov --underlay',
        'weft capture --endpoint web-front -w web.pcapng tcp port 80',
        'weft capture --all --drops -w - | tshark -r -',
        'weft capture start --network back -w back.pcapng --name night',
        'weft capture start --all -w ring.pcapng --rotate-size 100M --rotate-files 10',
      ) + ROTATION,
    )
    .action(async (filter: string[], options: CaptureOptions) => {
      const { write } = options;
      const body = requestOf(capture, session, options, filter);
      // Loaded when needed: commands are to start fast.
      const { streamToPipe, streamToStdout, streamToTerminal } = await import('./capture-stream.js');
      const interruption = new Interruption(session.world);
      try {
        if (write === undefined) await streamToTerminal(session, body, interruption);
        else if (write === '-') await streamToStdout(session, body, interruption);
        else if (isFile(session, write)) await captureToFile(session, body, interruption);
        else {
          const path = absolutePath(session.world, write);
          await streamToPipe(session, { ...body, file: undefined }, path, interruption);
        }
      } finally {
        interruption.forget();
      }
    });
  addStart(capture, session);
  addListAndShow(capture, session);
  addRead(capture, session);
  capture
    .command('stop')
    .description('stop a capture; its file stays')
    .addArgument(nameOf('capture'))
    .action(async (name: string) => {
      const view = await stopCapture(session, name);
      session.answer(view, `capture ${name} stopped: ${summary(view)}`);
    });
}

function addCaptureOptions(command: Command): void {
  const file = new Option('-w, --write <FILE>', 'write a capture file, or into a named pipe; - for stdout');
  command
    .addOption(objectOption('--network <NET>', 'frames of this network', 'network').conflicts(['endpoint', 'all']))
    .addOption(objectOption('--endpoint <E>', 'frames of this endpoint', 'endpoint').conflicts('all'))
    .option('--all', 'frames of every endpoint (the default)')
    .addOption(
      new Option('--underlay', 'outer frames, of the tunnel of that network or of all').conflicts(['endpoint', 'all']),
    )
    .addOption(completes(file, 'file'))
    .addOption(new Option('--format <FORMAT>', 'of the file').choices(['pcapng', 'pcap']))
    .addOption(integerOption('--count <N>', 'end after N frames', 1, Number.MAX_SAFE_INTEGER))
    .addOption(new Option('--duration <SECONDS>', 'end after this time').argParser(readSeconds))
    .addOption(integerOption('--snaplen <N>', 'bytes kept of each frame; 0 = all', 0, 262144))
    .addOption(byteOption('--rotate-size <BYTES>', 'go on in the next file when one is full, e.g. 100M; see below'))
    .addOption(integerOption('--rotate-files <N>', 'with --rotate-size: keep the newest N files', 1, 1000))
    .option('--drops', 'also frames that were dropped, with the reason')
    .addOption(new Option('--name <NAME>', 'name of the capture; else weft chooses one'))
    .addArgument(new Argument('[FILTER...]', 'only frames that match, e.g. tcp port 80'));
}

function addStart(capture: Command, session: Session): void {
  const start = capture.command('start').description('capture to a file in the background');
  addCaptureOptions(start);
  start.action(async (filter: string[], options: CaptureOptions) => {
    if (!isFile(session, options.write)) {
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

function addRead(capture: Command, session: Session): void {
  capture
    .command('read')
    .description('print a capture file (pcapng or pcap), one line per frame; - for stdin')
    .addArgument(completes(new Argument('<FILE>', 'a capture of weft, tcpdump, Wireshark, ...'), 'file'))
    .addOption(integerOption('--count <N>', 'end after N frames', 1, Number.MAX_SAFE_INTEGER))
    .addHelpText(
      'after',
      examples(
        'weft capture read web.pcapng',
        'ssh host tcpdump -w - | weft capture read -',
        'weft capture read --json web.pcapng | jq ".[].summary"',
      ),
    )
    .action(async (file: string, { count = Number.POSITIVE_INFINITY }: { count?: number }) => {
      const { readCapture } = await import('./capture-read.js');
      await readCapture(session, file, count);
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

/** Whether the daemon writes it, and not this process. */
function isFile(session: Session, write: string | undefined): boolean {
  return write !== undefined && write !== '-' && !isNamedPipe(absolutePath(session.world, write));
}

function requestOf(command: Command, session: Session, options: CaptureOptions, filter: string[]): CaptureBody {
  const { network, endpoint, write } = options;
  if (options.format === 'pcap' && write === undefined) command.error("option '--format' needs '--write'");
  if (options.rotateFiles !== undefined && options.rotateSize === undefined) {
    command.error("option '--rotate-files' needs '--rotate-size'");
  }
  if (options.rotateSize !== undefined && !isFile(session, write)) {
    command.error("option '--rotate-size' needs a file: -w FILE");
  }
  return given({
    name: options.name,
    network,
    endpoint,
    all: network === undefined && endpoint === undefined && !options.underlay ? true : undefined,
    underlay: options.underlay,
    file: write === undefined || write === '-' ? undefined : absolutePath(session.world, write),
    format: options.format,
    count: options.count,
    duration: options.duration,
    snaplen: options.snaplen,
    filter: filter.length > 0 ? filter.join(' ') : undefined,
    drops: options.drops,
    rotateSize: options.rotateSize,
    rotateFiles: options.rotateFiles,
  });
}

/** The daemon writes the file; where it may not, this process does. */
async function captureToFile(session: Session, body: CaptureBody, interruption: Interruption): Promise<void> {
  let started: Capture;
  try {
    started = await startCapture(session, body);
  } catch (error) {
    const isOutOfReach = error instanceof CliError && error.problemCodes.includes('out-of-reach');
    if (!isOutOfReach || body.rotateSize !== undefined) throw error;
    const { streamToFile } = await import('./capture-stream.js');
    if (await streamToFile(session, { ...body, file: undefined }, body.file!, interruption)) return;
    throw error;
  }
  await watchCapture(session, started, interruption);
}

/** This process waits, and ends the capture on Ctrl-C. */
async function watchCapture(session: Session, started: Capture, interruption: Interruption): Promise<void> {
  session.note(`capturing to ${started.file}; Ctrl-C ends it`);
  let view = started;
  while (view.state === 'running' && !interruption.isRequested) {
    await new Promise<void>((resolve) => {
      setTimeout(resolve, POLL_MS);
      interruption.onRequest(resolve);
    });
    const path = objectPath('captures', started.name);
    view = await session.client.call<Capture>({ what: 'cannot watch the capture', method: 'GET', path });
  }
  // Ended captures stay listed until they are stopped: this one was only for this command.
  const last = await stopCapture(session, started.name);
  if (last.state === 'failed')
    throw new CliError('the capture failed', last.reason ?? '', 'the file has what came before');
  if (session.isJson) session.answer(last, '');
  else session.note(`${summary(last)}, ${last.file}`);
}
