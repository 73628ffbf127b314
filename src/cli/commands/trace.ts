/** weft trace: what would happen to a frame, stage by stage, and why. Nothing is sent. */
import { createReadStream } from 'node:fs';
import { type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { CaptureFileError, readCaptureFrames } from '../../capture/capture-frames.js';
import type { FileFrame } from '../../capture/file-frame.js';
import { completes } from '../completion/kinds.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import { absolutePath, given, integerOption, objectOption } from '../options.js';
import { traceText } from '../render/trace.js';
import type { Session } from '../session.js';

type TraceRequest = SchemaTypes['TraceRequest'];
type Trace = SchemaTypes['Trace'];

interface TraceOptions {
  from?: string;
  fromUplink?: string;
  fromVtep?: string;
  network?: string;
  source?: string;
  to?: string;
  toMac?: string;
  tcp?: number;
  udp?: number;
  icmp?: boolean;
  sourcePort?: number;
  flags?: string;
  ttl?: number;
  payload?: number;
  capture?: string;
  frame?: number;
}

const NOTES = `
The frame runs through the stages of the datapath itself, on copies of the tables as
they are now: what it would learn or open is forgotten afterwards. Of a capture, the
frame is taken to arrive at the endpoint that --from names, or at the one whose
interface the capture says it came in at. TCP frames longer than the MTU are taken for
super-frames, as stacks with offloads send them. With --from-vtep it arrives encapsulated,
as another host would send it, and the trace begins with what takes it out.`;

export function addTraceCommand(program: Command, session: Session): void {
  const port = (flags: string, what: string) => integerOption(flags, what, 1, 65535);
  program
    .command('trace')
    .description('what would happen to a frame, stage by stage')
    .addOption(objectOption('--from <ENDPOINT>', 'endpoint that sends it', 'endpoint').conflicts('fromUplink'))
    .addOption(objectOption('--from-uplink <NETWORK>', 'network from whose uplink it comes', 'network'))
    .addOption(new Option('--from-vtep <ADDR>', 'other VTEP that it comes from').conflicts(['from', 'fromUplink']))
    .addOption(objectOption('--network <NETWORK>', 'overlay network of --from-vtep', 'network'))
    .option('--to <ADDR>', 'destination address')
    .option('--to-mac <MAC>', 'destination MAC, of a station that weft knows no address of')
    .option('--source <ADDR>', 'source address, if not that of the endpoint')
    .addOption(port('--tcp <PORT>', 'a TCP segment to this port').conflicts(['udp', 'icmp']))
    .addOption(port('--udp <PORT>', 'a UDP datagram to this port').conflicts('icmp'))
    .addOption(new Option('--icmp', 'an echo request (the default)'))
    .addOption(port('--source-port <PORT>', 'source port, or identifier of the echo request'))
    .option('--flags <FLAGS>', 'TCP flags as tcpdump writes them: S, SA, A, PA, FA, R')
    .addOption(integerOption('--ttl <N>', 'time to live, hop limit', 1, 255))
    .addOption(integerOption('--payload <BYTES>', 'bytes of payload', 0, 65000))
    .addOption(completes(new Option('--capture <FILE>', 'take the frame from a capture file'), 'file').conflicts('to'))
    .addOption(integerOption('--frame <N>', 'which frame of the capture, 1 is the first', 1, Number.MAX_SAFE_INTEGER))
    .addHelpText('after', NOTES)
    .addHelpText(
      'after',
      examples(
        'weft trace --from web-front --to 198.51.100.7 --tcp 443',
        'weft trace --from web-front --to 10.80.0.11 --icmp',
        'weft trace --from-uplink front --source 198.51.100.7 --to 100.64.0.2 --tcp 8080',
        'weft trace --from web-blue --to 10.90.0.12 --to-mac 02:00:5e:00:53:0c',
        'weft trace --from-vtep 192.0.2.2 --network blue --source 10.90.0.12 --to 10.90.0.11',
        'weft trace --capture front.pcapng --frame 7',
      ),
    )
    .action(async (options: TraceOptions) => {
      const body = options.capture === undefined ? described(options) : await captured(session, options);
      const call = { what: 'cannot trace the frame', method: 'POST', path: '/v1/trace', body } as const;
      const view = await session.client.call<Trace>(call);
      session.answer(view, traceText(view));
    });
}

function described(options: TraceOptions): TraceRequest {
  const { from, fromUplink, fromVtep, network, source, to, toMac, tcp, udp } = options;
  const { sourcePort, flags, ttl, payload: payloadBytes } = options;
  if (from === undefined && fromUplink === undefined && fromVtep === undefined) {
    const remedy = 'give --from, --from-uplink or --from-vtep';
    throw new CliError('cannot trace the frame', 'nothing says where it comes from', remedy);
  }
  if (to === undefined) {
    throw new CliError('cannot trace the frame', 'nothing says where it goes', 'give --to, or --capture with --frame');
  }
  const protocol = tcp === undefined ? (udp === undefined ? 'icmp' : 'udp') : 'tcp';
  const port = tcp ?? udp;
  const way = { from, fromUplink, fromVtep, network };
  return given({ ...way, source, to, toMac, protocol, port, sourcePort, flags, ttl, payloadBytes }) as TraceRequest;
}

async function captured(session: Session, options: TraceOptions): Promise<TraceRequest> {
  const { capture = '', frame: number = 1, fromUplink, fromVtep, network } = options;
  const found = await frameOf(session, capture, number);
  if (found.bytes.length < found.length) {
    const remedy = 'capture with a larger --snaplen';
    throw new CliError('cannot trace the frame', `frame ${number} of ${capture} was not captured whole`, remedy);
  }
  const isOutside = fromUplink !== undefined || fromVtep !== undefined;
  if (options.from === undefined && !isOutside && found.direction === 'outbound') {
    const why = `frame ${number} of ${capture} went out to ${found.interfaceName ?? 'an endpoint'}, it did not come in there`;
    throw new CliError('cannot trace the frame', why, 'give --from ENDPOINT, or another --frame');
  }
  const from = options.from ?? (isOutside ? undefined : (found.interfaceName ?? undefined));
  if (from === undefined && !isOutside) {
    throw new CliError('cannot trace the frame', 'the capture does not say where it came in', 'give --from ENDPOINT');
  }
  const { buffer, byteOffset, length } = found.bytes;
  const frame = Buffer.from(buffer, byteOffset, length).toString('hex');
  return given({ from, fromUplink, fromVtep, network, frame }) as TraceRequest;
}

async function frameOf(session: Session, file: string, number: number): Promise<FileFrame> {
  const what = `cannot trace frame ${number} of ${file}`;
  let seen = 0;
  try {
    for await (const frame of readCaptureFrames(createReadStream(absolutePath(session.world, file)))) {
      if (++seen === number) return frame;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof CaptureFileError || code !== undefined) throw new CliError(what, message, 'name a capture');
    throw error;
  }
  throw new CliError(what, `it has ${seen} frames`, 'weft capture read FILE shows them');
}
