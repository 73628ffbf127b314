/**
 * tcpdump on an interface, into a file for a judge to read. What waits in the ring of a tcpdump that is ended is lost, and on a
 * busy machine that is a lot: so a capture ends with a frame of its own, when that has arrived in the file.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXPERIMENTAL, frame, sendFrames } from './system-frames.js';
import type { Lab } from './system-lab.js';
import { type Background, waitFor } from './system-process.js';

/** No bridge forwards what is sent there (IEEE 802.1Q table 8-1). */
const NEAREST_BRIDGE = '01:80:c2:00:00:0e';
const SENDER = '02:00:00:00:00:77';

let captures = 0;

export class WireCapture {
  readonly #lab: Lab;
  readonly #base: string;
  readonly #ifname: string;
  readonly #file: string;
  readonly #tcpdump: Background;

  private constructor(lab: Lab, base: string, ifname: string, file: string, tcpdump: Background) {
    this.#lab = lab;
    this.#base = base;
    this.#ifname = ifname;
    this.#file = file;
    this.#tcpdump = tcpdump;
  }

  /** Whole frames of both directions that `filter` (pcap-filter(7)) takes. */
  static async start(lab: Lab, base: string, ifname: string, filter = ''): Promise<WireCapture> {
    const file = join(lab.directory, `wire-${captures++}.pcap`);
    const options = ['-n', '-p', '-s', '0', '-U', '-Z', 'root', '--immediate-mode', '-B', '16384', '-w', file];
    const expression = filter === '' ? [] : [`(${filter}) or ether proto ${EXPERIMENTAL}`];
    const tcpdump = lab.background(base, ['tcpdump', '-i', ifname, ...options, ...expression]);
    await waitFor('tcpdump to listen', () => tcpdump.stderr.includes('listening on'));
    return new WireCapture(lab, base, ifname, file, tcpdump);
  }

  /** Ends it; returns the file, which has everything that passed before, and the frame of this end. */
  async finish(): Promise<string> {
    const end = frame({ to: NEAREST_BRIDGE, from: SENDER, payload: `the end of ${this.#file}` });
    await sendFrames(this.#lab, this.#base, this.#ifname, [end]);
    await waitFor('tcpdump to have written everything', () => readFileSync(this.#file).includes(end));
    await this.#tcpdump.stop('SIGINT');
    return this.#file;
  }
}
