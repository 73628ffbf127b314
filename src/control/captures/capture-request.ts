/** Reads a capture request: what it means and everything that is wrong with it. */
import { isAbsolute } from 'node:path';
import { MAX_SNAPLEN } from '../../capture/capture-writer.js';
import { whyBadName } from '../../model/names.js';
import { type Problem, RequestError } from '../../model/problems.js';
import type { CaptureRequest } from '../controller/captures.js';

export interface CaptureSpec {
  /** null: to be chosen. */
  name: string | null;
  /** At most one of network and endpoint; neither = all. */
  network: string | null;
  endpoint: string | null;
  /** Outer frames of the tunnel of the network, or of all tunnels. */
  underlay: boolean;
  /** Absolute path; null for a stream. */
  file: string | null;
  format: 'pcapng' | 'pcap';
  /** Frames; null = no limit. */
  count: number | null;
  durationMs: number | null;
  /** Bytes kept of each frame. */
  snaplen: number;
  /** Empty = everything. */
  filter: string;
  drops: boolean;
  /** Bytes of a file after which the next one begins; null = one file. */
  rotateSize: number | null;
  /** Files kept; null = all. */
  rotateFiles: number | null;
}

/** More than any frame; and a full link fills no more than some thousand files per second. */
export const MIN_ROTATE_BYTES = 65536;
export const MAX_ROTATE_FILES = 1000;

/** The longest that a timer of Node can wait. */
const MAX_DURATION_MS = 2 ** 31 - 1;

/** Throws a RequestError with every problem. `toFile`: whether it writes to a file or to the caller. */
export function readCaptureRequest(request: CaptureRequest, toFile: boolean): CaptureSpec {
  const problems: Problem[] = [];
  const complain = (path: string, code: string, message: string) => problems.push({ path, code, message });
  checkScope(request, complain);
  checkRotation(request, complain);
  const { name, file, format = 'pcapng', count, duration, snaplen = 0 } = request;
  const badName = name === undefined ? null : whyBadName(name);
  if (badName !== null) complain('name', 'bad-name', badName);
  if (toFile && file === undefined) complain('file', 'missing', 'a capture needs a file, or is streamed');
  if (!toFile && file !== undefined) complain('file', 'unexpected', 'a streamed capture has no file');
  if (file !== undefined && !isAbsolute(file)) complain('file', 'relative-path', `${file} is not an absolute path`);
  if (format !== 'pcapng' && format !== 'pcap') complain('format', 'unknown-format', 'the format is pcapng or pcap');
  if (count !== undefined && !(Number.isSafeInteger(count) && count >= 1)) {
    complain('count', 'out-of-range', 'the count is a whole number from 1');
  }
  if (duration !== undefined && !(duration > 0 && duration * 1000 <= MAX_DURATION_MS)) {
    complain('duration', 'out-of-range', `the duration is more than 0 and at most ${MAX_DURATION_MS / 1000} seconds`);
  }
  if (!(Number.isInteger(snaplen) && snaplen >= 0 && snaplen <= MAX_SNAPLEN)) {
    complain('snaplen', 'out-of-range', `the snaplen is a whole number from 1 to ${MAX_SNAPLEN}`);
  }
  if (problems.length > 0) {
    const texts = problems.map(({ path, message }) => `${path}: ${message}`);
    throw new RequestError('invalid-request', texts.join('; '), 'correct the request', problems);
  }
  return {
    name: name ?? null,
    network: request.network ?? null,
    endpoint: request.endpoint ?? null,
    underlay: request.underlay ?? false,
    file: file ?? null,
    format,
    count: count ?? null,
    durationMs: duration === undefined ? null : duration * 1000,
    // As with tcpdump, 0 is everything.
    snaplen: snaplen === 0 ? MAX_SNAPLEN : snaplen,
    filter: request.filter?.trim() ?? '',
    drops: request.drops ?? false,
    rotateSize: request.rotateSize ?? null,
    rotateFiles: request.rotateFiles ?? null,
  };
}

function checkScope(
  { network, endpoint, all, underlay }: CaptureRequest,
  complain: (path: string, code: string, message: string) => void,
): void {
  if (network !== undefined && endpoint !== undefined) {
    complain('endpoint', 'conflict', 'a capture is of a network or of an endpoint, not both');
  }
  if (underlay === true && (endpoint !== undefined || all === true)) {
    complain('underlay', 'conflict', 'a capture of the underlay is of one network or of all tunnels');
  }
  if (all === true && (network !== undefined || endpoint !== undefined)) {
    complain('all', 'conflict', 'a capture of all has neither network nor endpoint');
  }
}

function checkRotation(
  { file, rotateSize, rotateFiles }: CaptureRequest,
  complain: (path: string, code: string, message: string) => void,
): void {
  if (rotateSize !== undefined && file === undefined) {
    complain('rotateSize', 'unexpected', 'only a capture to a file can go on in another file');
  }
  if (rotateSize !== undefined && !(Number.isSafeInteger(rotateSize) && rotateSize >= MIN_ROTATE_BYTES)) {
    complain('rotateSize', 'out-of-range', `the size of a file is a whole number of bytes from ${MIN_ROTATE_BYTES}`);
  }
  if (rotateFiles === undefined) return;
  if (rotateSize === undefined) complain('rotateFiles', 'missing', 'a number of files needs rotateSize, their size');
  if (!(Number.isInteger(rotateFiles) && rotateFiles >= 1 && rotateFiles <= MAX_ROTATE_FILES)) {
    complain('rotateFiles', 'out-of-range', `the number of files is a whole number from 1 to ${MAX_ROTATE_FILES}`);
  }
}
