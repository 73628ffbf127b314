/**
 * weft replay: injects the frames of a capture file into a network, as if an endpoint had sent them. The file goes to the daemon
 * as it is read; the daemon keeps the time and says in the end what became of the frames.
 */
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { completes } from '../completion/kinds.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import { absolutePath, integerOption, objectOption } from '../options.js';
import { bytes, counted, duration } from '../render/units.js';
import type { Session } from '../session.js';

type Replay = SchemaTypes['Replay'];

interface ReplayOptions {
  endpoint: string;
  speed?: number;
  topSpeed?: boolean;
  count?: number;
  fromInterface?: string;
  direction?: 'in' | 'out' | 'any';
}

/** Shorter replays show no progress. */
const PROGRESS_AFTER_MS = 1000;
const PROGRESS_EVERY_MS = 200;

const NOTES = `
Injected are whole Ethernet frames, at the pace of the capture: those that had come
in from an endpoint (--direction in, the default) or that tell no direction, not
those that had gone out to one; of every interface unless --from-interface names
one (in a capture of weft it has the name of the endpoint). weft learns the sender
of each frame at this endpoint, so when both sides of a conversation are replayed
into one endpoint, one side is dropped (same-port). TCP frames longer than the MTU
go in as super-frames, as they were captured.`;

export function addReplayCommand(program: Command, session: Session): void {
  program
    .command('replay')
    .description('inject the frames of a capture file as if an endpoint had sent them')
    .addArgument(completes(new Argument('<FILE>', 'pcapng or pcap; - for stdin'), 'file'))
    .addOption(objectOption('--endpoint <E>', 'whose frames they are', 'endpoint').makeOptionMandatory())
    .addOption(new Option('--speed <X>', 'X times the pace of the capture').argParser(readSpeed).conflicts('topSpeed'))
    .option('--top-speed', 'as fast as weft takes the frames')
    .addOption(integerOption('--count <N>', 'end after N frames', 1, Number.MAX_SAFE_INTEGER))
    .option('--from-interface <NAME>', 'only frames of this interface of the capture')
    .addOption(new Option('--direction <WHICH>', 'frames that had come in, gone out, or both').choices(DIRECTIONS))
    .addHelpText('after', NOTES)
    .addHelpText(
      'after',
      examples(
        'weft replay web.pcapng --endpoint web-front',
        'weft replay web.pcapng --endpoint probe --from-interface web-front --speed 10',
        'tcpdump -i eth0 -w - | weft replay - --endpoint mirror',
      ),
    )
    .action((file: string, options: ReplayOptions) => replay(session, file, options));
}

const DIRECTIONS = ['in', 'out', 'any'] as const;

function readSpeed(value: string): number {
  const speed = Number(value);
  if (!/^\d{1,7}(\.\d{1,6})?$/.test(value) || speed <= 0 || speed > 1e6) {
    throw new InvalidArgumentError('a number above 0, up to 1000000, is wanted');
  }
  return speed;
}

async function replay(session: Session, file: string, options: ReplayOptions): Promise<void> {
  const { endpoint, ...query } = options;
  const what = `cannot replay ${file === '-' ? 'stdin' : file}`;
  const { input, size } = await openInput(session, file, what);
  const path = objectPath('endpoints', endpoint, `/replay${queryText(query)}`);
  const stop = () => {
    const call = {
      what: 'cannot end the replay',
      method: 'DELETE',
      path: objectPath('endpoints', endpoint, '/replay'),
    };
    // If the daemon cannot be told, the broken connection tells it.
    session.client.call({ ...call, method: 'DELETE' }).catch(() => input.destroy(new Error('interrupted')));
  };
  const forget = session.world.onInterrupt(stop);
  const endProgress = showProgress(session, input, size);
  let done: Replay;
  try {
    done = await session.client.upload<Replay>({ what, method: 'POST', path }, input);
  } finally {
    endProgress();
    forget();
  }
  session.answer(done, summary(done));
}

async function openInput(session: Session, file: string, what: string): Promise<{ input: Readable; size: number }> {
  if (file === '-') {
    if ((session.world.stdin as { isTTY?: boolean }).isTTY === true) {
      throw new CliError(what, 'it is a terminal', 'pipe a capture into it');
    }
    return { input: session.world.stdin, size: 0 };
  }
  try {
    const handle = await open(absolutePath(session.world, file));
    const status = await handle.stat();
    if (status.isDirectory()) {
      await handle.close();
      throw new Error('it is a directory');
    }
    return { input: handle.createReadStream(), size: status.isFile() ? status.size : 0 };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new CliError(what, isMissing ? 'there is no such file' : (error as Error).message, 'give a capture file');
  }
}

/** `?speed=2&count=10`, empty for no options. The names of the options are those of the query. */
function queryText(query: object): string {
  const known = ['speed', 'topSpeed', 'count', 'fromInterface', 'direction'];
  const entries = Object.entries(query).filter(([name, value]) => known.includes(name) && value !== undefined);
  const text = entries.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');
  return text === '' ? '' : `?${text}`;
}

/** On a terminal, how much of the file has been taken; returns how to end that. */
function showProgress(session: Session, input: Readable, size: number): () => void {
  const { stderr } = session.world;
  if (stderr.isTTY !== true) return () => {};
  const startedAt = performance.now();
  let sent = 0;
  let isShown = false;
  input.on('data', (chunk: Buffer) => {
    sent += chunk.length;
  });
  const timer = setInterval(() => {
    const elapsedMs = performance.now() - startedAt;
    if (elapsedMs < PROGRESS_AFTER_MS) return;
    const part = size > 0 ? `${Math.floor((sent / size) * 100)} % of ${bytes(size)}` : bytes(sent);
    stderr.write(`\r\x1b[Kreplaying: ${part} read, ${duration(elapsedMs / 1000)}; Ctrl-C ends it`);
    isShown = true;
  }, PROGRESS_EVERY_MS);
  return () => {
    clearInterval(timer);
    if (isShown) stderr.write('\r\x1b[K');
  };
}

/** One line, and further ones for what did not get through. */
function summary(view: Replay): string {
  const how = view.ended === 'stopped' ? ', ended before the file did' : '';
  const superFrames = view.superFrames > 0 ? ` (${counted(view.superFrames, 'super-frame')})` : '';
  const injected = `${counted(view.injected, 'frame')}${superFrames} injected into ${view.endpoint}`;
  const head = `${injected}, ${bytes(view.bytes)}, in ${duration(view.seconds)}${how}`;
  const lines = [head];
  const skipped = SKIPPED.filter(([name]) => view.skipped[name] > 0);
  if (skipped.length > 0) {
    lines.push(`not injected: ${skipped.map(([name, why]) => `${view.skipped[name]} ${why}`).join(', ')}`);
  }
  if (view.dropped > 0) {
    const frames = counted(view.dropped, 'frame');
    lines.push(`${frames} from ${view.endpoint} dropped meanwhile: weft drop list says why`);
  }
  return lines.join('\n');
}

const SKIPPED: readonly [keyof Replay['skipped'], string][] = [
  ['notSelected', 'of another direction or interface'],
  ['notEthernet', 'not Ethernet'],
  ['cut', 'not captured whole (snaplen)'],
  ['tooShort', 'too short'],
  ['tooLong', 'longer than the MTU'],
];
