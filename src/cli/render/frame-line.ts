/** A captured frame as one line for people: when, where, which way, what, why it was dropped; and as JSON for programs. */
import type { FileFrame } from '../../capture/file-frame.js';
import { printable } from '../../lib/printable.js';
import { describeFrame } from '../../wire/describe.js';

/** LINKTYPE_ETHERNET. */
const ETHERNET = 1;

/** `in`: from the endpoint into the network; `out`: from the network to the endpoint. */
const DIRECTIONS = { inbound: 'in ', outbound: 'out' } as const;

export function frameLine(frame: FileFrame): string {
  const where = [frame.interfaceName, frame.direction === null ? null : DIRECTIONS[frame.direction]];
  const missing = frame.lostBefore > 0 ? [`[${frame.lostBefore} lost before]`] : [];
  const comment = frame.comment === null ? [] : [`[${frame.comment}]`];
  return [clock(frame), ...where.filter((part) => part !== null), summaryOf(frame), ...comment, ...missing].join(' ');
}

/** On one line, fit for a terminal. `bytes` are those that the file has, in hexadecimal; `length` is that of the frame on the wire. */
export function frameJson(frame: FileFrame): string {
  const { interfaceName, direction, length, linkType, comment, lostBefore, bytes } = frame;
  const described = JSON.stringify({
    time: timestamp(frame),
    interface: interfaceName,
    direction: direction === null ? null : DIRECTIONS[direction].trim(),
    length,
    captured: bytes.length,
    linkType,
    summary: summaryOf(frame),
    comment,
    lostBefore,
  });
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
  return `${printable(described).slice(0, -1)},"bytes":"${hex}"}`;
}

function summaryOf({ bytes, length, linkType }: FileFrame): string {
  if (linkType !== ETHERNET) return `link type ${linkType}, length ${length}`;
  return describeFrame(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.length, length);
}

/** Local time, `14:03:22.120455`; a time that no calendar has, as its seconds. */
function clock({ seconds, nanoseconds }: FileFrame): string {
  const date = new Date(seconds * 1000);
  const fraction = String(Math.floor(nanoseconds / 1000)).padStart(6, '0');
  if (Number.isNaN(date.getTime())) return `${seconds}.${fraction}`;
  const parts = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}.${fraction}`;
}

/** RFC 3339 with nanoseconds; null for a time that no calendar has. */
function timestamp({ seconds, nanoseconds }: FileFrame): string | null {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return null;
  return date.toISOString().replace(/\d{3}Z$/, `${String(nanoseconds).padStart(9, '0')}Z`);
}
