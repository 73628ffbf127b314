/** One line per frame of a capture that comes in over a stream: when, where, which way, what, and why it was dropped. */
import { CaptureFileReader, type FileFrame } from '../../capture/capture-file-reader.js';
import { describeFrame } from '../../wire/describe.js';
import { CliError } from '../failure.js';

/** LINKTYPE_ETHERNET. */
const ETHERNET = 1;

/** `in`: from the endpoint into the network; `out`: from the network to the endpoint. */
const DIRECTIONS = { inbound: 'in ', outbound: 'out' } as const;

export async function* frameLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const reader = new CaptureFileReader();
  for await (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== null; frame = reader.next()) yield frameLine(frame);
    if (reader.error !== null) throw new CliError('cannot read the capture', reader.error, 'please report it');
  }
}

export function frameLine(frame: FileFrame): string {
  const { bytes, length, linkType } = frame;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const what =
    linkType === ETHERNET ? describeFrame(view, 0, bytes.length, length) : `link type ${linkType}, length ${length}`;
  const where = [frame.interfaceName, frame.direction === null ? null : DIRECTIONS[frame.direction]];
  const missing = frame.lostBefore > 0 ? [`[${frame.lostBefore} lost before]`] : [];
  const comment = frame.comment === null ? [] : [`[${frame.comment}]`];
  return [clock(frame), ...where.filter((part) => part !== null), what, ...comment, ...missing].join(' ');
}

/** Local time, `14:03:22.120455`. */
function clock({ seconds, nanoseconds }: FileFrame): string {
  const date = new Date(seconds * 1000);
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${String(Math.floor(nanoseconds / 1000)).padStart(6, '0')}`;
}
