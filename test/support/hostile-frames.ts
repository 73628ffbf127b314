/**
 * Frames that nobody should send: damaged copies of real ones, and noise. Seeded, and without garbage once made, so that a
 * test can send millions.
 */
import { MAX_FRAME_BYTES, type Slab } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import { BROADCAST, ether, join, mac, numberedMac, type TestFrame, vnetBytes } from './frame-builders.js';
import { randomPartial, randomSuperFrame, type SuperFrameKind } from './random-frames.js';

const TEMPLATES = 600;

export interface HostileSettings {
  /** Frames that the damaged ones are made of, in place of random ones for a switch. */
  templates: readonly TestFrame[];
  /** MACs that are put in now and then. */
  addresses: readonly string[];
}
const STATIONS = 40;
const VNET_BYTES = 12;
/** How many of the templates are super-frames, and how long most of them may be: the rest of the test is small frames. */
const SUPER_FRAMES = 200;
const MODERATE_BYTES = 4000;

const KINDS: readonly SuperFrameKind[] = ['TCP over IPv4', 'TCP over IPv6', 'UDP over IPv4', 'UDP over IPv6'];
const TYPES = [0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x88cc, 0x0026, 0xffff];

export class HostileFrames {
  /** Frames written so far. */
  count = 0;
  private readonly prng: Prng;
  private readonly templates: { frame: Uint8Array; vnet: Uint8Array }[] = [];
  private readonly addresses: Uint8Array[];
  private readonly isGiven: boolean;

  constructor(seed: number, settings?: HostileSettings) {
    const prng = new Prng(seed);
    this.prng = prng;
    this.isGiven = settings !== undefined;
    const stations = Array.from({ length: STATIONS }, (_, n) => numberedMac(n));
    const groups = [BROADCAST, '01:00:5e:00:00:01', '01:80:c2:00:00:0e', '33:33:00:00:00:01', '00:00:00:00:00:00'];
    const addresses = settings?.addresses ?? [...stations, ...stations, ...groups];
    this.addresses = addresses.map((text) => Uint8Array.from(mac(text)));
    for (let i = 0; i < (settings?.templates.length ?? TEMPLATES); i++) {
      const { bytes, vnet } = settings?.templates[i] ?? this.template(i);
      this.templates.push({ frame: bytes, vnet: vnetBytes(vnet) });
    }
  }

  private template(i: number): TestFrame {
    const { prng } = this;
    const addresses = { from: numberedMac(prng.below(STATIONS)), to: numberedMac(prng.below(STATIONS)) };
    if (i < SUPER_FRAMES) {
      const frame = randomSuperFrame(prng, KINDS[i % KINDS.length]!, addresses);
      if (frame.bytes.length < MODERATE_BYTES || i % 20 === 0) return frame;
    }
    if (i % 3 === 0) {
      const types = Array.from({ length: prng.below(6) }, () => ({
        vlan: prng.below(4096),
        type: TYPES[2 + prng.below(2)]!,
      }));
      return ether({ ...addresses, tags: types }, join([], new Uint8Array(prng.below(1500))));
    }
    return randomPartial(prng, addresses);
  }

  /** Writes a frame and the header in front of it; a FrameSource. */
  readonly write = (_port: number, slab: Slab, at: number): number => {
    const { prng } = this;
    const { bytes, view } = slab;
    this.count++;
    const { frame, vnet } = this.templates[prng.below(this.templates.length)]!;
    bytes.set(vnet, at - VNET_BYTES);
    bytes.set(frame, at);
    let length = frame.length;
    if (this.mayReplace()) bytes.set(this.addresses[prng.below(this.addresses.length)]!, at);
    if (this.mayReplace()) bytes.set(this.addresses[prng.below(this.addresses.length)]!, at + 6);
    for (let mutations = prng.below(4); mutations > 0; mutations--) length = this.mutate(bytes, view, at, length);
    return length;
  };

  /** Given frames are meant for somebody and mostly keep their addresses. */
  private mayReplace(): boolean {
    return this.isGiven ? this.prng.below(6) === 0 : this.prng.below(3) !== 0;
  }

  private mutate(bytes: Uint8Array, view: DataView, at: number, length: number): number {
    const { prng } = this;
    const header = at - VNET_BYTES;
    switch (prng.below(12)) {
      case 0: // one bit anywhere
        bytes[at + prng.below(Math.max(1, length))]! ^= 1 << prng.below(8);
        return length;
      case 1: // a header byte
        bytes[at + prng.below(Math.max(1, Math.min(length, 120)))] = prng.below(256);
        return length;
      case 2: // cut anywhere
        return prng.below(length + 1);
      case 3: // cut within the headers
        return Math.min(length, prng.below(80));
      case 4: {
        // longer than its headers say, now and then as long as can be
        const end = Math.min(MAX_FRAME_BYTES, length + prng.below(prng.below(200) === 0 ? MAX_FRAME_BYTES : 300));
        bytes.fill(prng.below(256), at + length, at + end);
        return end;
      }
      case 5: // another EtherType, where it is or where a tag would be
        if (length >= 22) view.setUint16(at + 12 + 4 * prng.below(3), TYPES[prng.below(TYPES.length)]!);
        return length;
      case 6: // another tag
        if (length >= 16) view.setUint16(at + 14, prng.below(3) === 0 ? 0 : prng.below(65536));
        return length;
      case 7: // noise instead of a vnet header
        for (let i = 0; i < VNET_BYTES; i++) bytes[header + i] = prng.below(256);
        return length;
      case 8: // an offload request that nearly fits
        view.setUint16(header + 6, Math.max(0, view.getUint16(header + 6, true) + prng.below(9) - 4), true);
        view.setUint16(header + 8, [6, 16, prng.below(40)][prng.below(3)]!, true);
        return length;
      case 9: // another type of segmentation
        bytes[header] = prng.below(4);
        bytes[header + 1] = [0, 1, 3, 4, 5, 0x20, 0x80, 0x81, 0x84, 0x85][prng.below(10)]!;
        return length;
      case 10: // other segments
        view.setUint16(header + 4, prng.below(20) === 0 ? prng.below(30) : prng.below(65536), true);
        return length;
      default: // lengths in the IP header that are not true
        if (length >= 40) view.setUint16(at + 14 + 2 * prng.below(6), prng.below(65536));
        return length;
    }
  }
}
