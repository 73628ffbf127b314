/**
 * Crafted Ethernet frames in and out of compartments: what goes in through an AF_PACKET socket on one interface, and what
 * tcpdump sees coming out of another, byte for byte.
 *
 * Frames are sent by a program of its own (system-frames-program.ts) and received by tcpdump, which alone puts back the
 * VLAN tag that the kernel takes off received frames. A test that wants to show that something does not arrive sends a
 * marker after it and waits for the marker: frames of one sender keep their order.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Lab } from './system-lab.js';
import { type Background, must, waitFor } from './system-process.js';

const PROGRAM = fileURLToPath(new URL('system-frames-program.js', import.meta.url));
const PCAP_HEADER_BYTES = 24;
const PCAP_RECORD_BYTES = 16;
const MIN_FRAME_BYTES = 60;
/** IEEE 802 local experimental Ethertype 1 (RFC 9542 section 3): no kernel answers it. */
export const EXPERIMENTAL = 0x88b5;

export interface FrameParts {
  to: string;
  from: string;
  type?: number;
  /** 802.1Q tags, outermost first: the VLAN, or the VLAN and the tag's type (0x88a8 for a service tag). */
  tags?: readonly (number | [number, number])[];
  payload: string | Uint8Array;
}

/** A frame as it is on the wire, padded to the minimum of Ethernet (without the frame check sequence). */
export function frame(parts: FrameParts): Buffer {
  const bytes: Buffer[] = [mac(parts.to), mac(parts.from)];
  for (const tag of parts.tags ?? []) {
    const [vlan, type] = typeof tag === 'number' ? [tag, 0x8100] : tag;
    bytes.push(word(type), word(vlan));
  }
  bytes.push(word(parts.type ?? EXPERIMENTAL), Buffer.from(parts.payload));
  const joined = Buffer.concat(bytes);
  return joined.length >= MIN_FRAME_BYTES ? joined : Buffer.concat([joined], MIN_FRAME_BYTES);
}

/** Sends frames, in order, from an interface of a compartment. */
export async function sendFrames(lab: Lab, base: string, ifname: string, frames: readonly Uint8Array[]): Promise<void> {
  const input = frames.map((bytes) => `${Buffer.from(bytes).toString('hex')}\n`).join('');
  const printed = await must([process.execPath, PROGRAM, lab.path(base), ifname], { input });
  assert.equal(printed, `${frames.length}\n`, 'every frame was sent');
}

/** tcpdump on one interface, collecting the frames that come in. */
export class Sniffer {
  readonly #file: string;
  readonly #process: Background;

  constructor(process: Background, file: string) {
    this.#process = process;
    this.#file = file;
  }

  /** Waits until `marker` has come in; returns what came in before it, as hexadecimal text. */
  async until(marker: Uint8Array, timeoutMs = 30_000): Promise<string[]> {
    const wanted = Buffer.from(marker).toString('hex');
    return await waitFor(
      `the marker frame ${wanted}`,
      () => {
        const seen = this.frames();
        const position = seen.indexOf(wanted);
        return position >= 0 && seen.slice(0, position);
      },
      timeoutMs,
    );
  }

  /** What has come in so far, as hexadecimal text. */
  frames(): string[] {
    assert.equal(this.#process.status, null, `tcpdump runs: ${this.#process.stderr}`);
    return readPcap(this.#file).map((bytes) => bytes.toString('hex'));
  }

  async stop(): Promise<string[]> {
    await this.#process.stop('SIGINT');
    return readPcap(this.#file).map((bytes) => bytes.toString('hex'));
  }
}

let files = 0;

/** Starts to collect the frames that come in at an interface, and of those the ones that `filter` (pcap-filter(7)) takes. */
export async function sniff(
  lab: Lab,
  base: string,
  ifname: string,
  filter = `ether proto ${EXPERIMENTAL}`,
): Promise<Sniffer> {
  const file = join(lab.directory, `sniffed-${files++}.pcap`);
  const options = ['-i', ifname, '-n', '-p', '-Q', 'in', '-s', '0', '-U', '--immediate-mode', '-Z', 'root', '-w', file];
  const tcpdump = lab.background(base, ['tcpdump', ...options, ...(filter === '' ? [] : [filter])]);
  await waitFor('tcpdump to listen', () => {
    assert.equal(tcpdump.status, null, `tcpdump ended: ${tcpdump.stderr}`);
    return tcpdump.stderr.includes('listening on');
  });
  return new Sniffer(tcpdump, file);
}

/** The complete frames of a classic little-endian capture file that may still be growing. */
function readPcap(file: string): Buffer[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const frames: Buffer[] = [];
  let at = PCAP_HEADER_BYTES;
  while (at + PCAP_RECORD_BYTES <= bytes.length) {
    const end = at + PCAP_RECORD_BYTES + bytes.readUInt32LE(at + 8);
    if (end > bytes.length) break;
    frames.push(bytes.subarray(at + PCAP_RECORD_BYTES, end));
    at = end;
  }
  return frames;
}

function mac(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll(':', ''), 'hex');
  assert.equal(bytes.length, 6, `${text} is a MAC`);
  return bytes;
}

function word(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}
