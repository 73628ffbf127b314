/**
 * What nobody should send to a VTEP: damaged copies of real datagrams and of outer frames, joined ones, forged senders, noise. Seeded, and
 * without garbage once made, so that a test can send millions.
 */
import type { PeerRows } from '../../src/frames/peer-rows.js';
import type { Slab } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import { ether, ipv4, join, numberedMac, pattern, TCP_ACK, tcp, vnetBytes } from './frame-builders.js';
import { randomPartial } from './random-frames.js';
import { addressRow } from './tunnel-columns.js';
import { outerFrame, vxlan } from './vxlan-frames.js';

export interface HostileDatagramSettings {
  /** VNIs that most of them have, and the one that none has, whatever is damaged. */
  vnis: readonly number[];
  spared: number;
  /** Address of the VTEP. */
  to: string;
  /** Ports that are TAPs, with their vnet header of 24 bytes; others are sockets. */
  taps: readonly number[];
}

const TEMPLATES = 300;
const STATIONS = 40;
const VNET_BYTES = 24;
const GSO_TYPES = [0, 1, 4, 5, 0x21, 0x24, 0x41, 0x44, 0x81, 0x7f];

interface Template {
  bytes: Uint8Array;
  segmentBytes: number;
  vnet: Uint8Array;
}

export class HostileDatagrams {
  /** Messages and frames written so far. */
  count = 0;
  private readonly prng: Prng;
  private readonly settings: HostileDatagramSettings;
  private readonly messages: Template[] = [];
  private readonly frames: Template[] = [];
  private readonly senders: Int32Array[];
  private segmentBytes = 0;

  constructor(seed: number, settings: HostileDatagramSettings) {
    this.prng = new Prng(seed);
    this.settings = settings;
    const others = Array.from({ length: 300 }, (_, n) => `198.51.100.${n & 255}`);
    const odd = [settings.to, '0.0.0.0', '224.0.0.1', '255.255.255.255', '127.0.0.1'];
    this.senders = ['192.0.2.2', '192.0.2.3', ...odd, ...others].map((text) => Int32Array.from(addressRow(text)));
    for (let n = 0; n < TEMPLATES; n++) {
      this.messages.push(this.message(n));
      this.frames.push(this.frame());
    }
  }

  /** Writes what arrives next at a port; a FrameSource. */
  readonly write = (port: number, slab: Slab, at: number): number => {
    this.count++;
    const { prng } = this;
    const isTap = this.settings.taps.includes(port);
    const templates = isTap ? this.frames : this.messages;
    const { bytes, segmentBytes, vnet } = templates[prng.below(templates.length)]!;
    slab.bytes.set(bytes, at);
    this.segmentBytes = segmentBytes;
    let length = bytes.length;
    if (isTap) {
      slab.bytes.set(vnet, at - VNET_BYTES);
      if (prng.below(4) === 0) slab.bytes[at - VNET_BYTES + prng.below(VNET_BYTES)] = prng.below(256);
      if (prng.below(8) === 0) slab.bytes[at - VNET_BYTES + 1] = GSO_TYPES[prng.below(GSO_TYPES.length)]!;
    }
    for (let n = prng.below(4); n > 0; n--) slab.bytes[at + prng.below(length)] = prng.below(256);
    if (prng.below(6) === 0) length = prng.below(length + 1);
    if (prng.below(10) === 0) this.segmentBytes = prng.below(70);
    this.spare(slab, at, length);
    return length;
  };

  /** Who sent what was written last. */
  readonly writePeer = (peers: PeerRows, row: number): void => {
    const { prng } = this;
    // Most come from two VTEPs, which have stations.
    const sender = this.senders[prng.below(4) === 0 ? prng.below(this.senders.length) : prng.below(2)]!;
    peers.write(row, sender[0]!, prng.below(65536), 0, sender, 1, this.segmentBytes, prng.below(256), 0);
  };

  /** No four bytes in a row name the VNI that is to be spared. */
  private spare(slab: Slab, at: number, length: number): void {
    const { spared } = this.settings;
    const { view } = slab;
    for (let i = at; i + 3 <= at + length; i++) {
      if (view.getUint8(i) !== spared >>> 16 || view.getUint16(i + 1) !== (spared & 0xffff)) continue;
      view.setUint8(i, 0xaa);
    }
  }

  private message(n: number): Template {
    const { prng } = this;
    const vni = this.vni();
    if (n % 3 === 0) {
      const size = 1 + prng.below(1400);
      const pieces = Array.from({ length: 1 + prng.below(40) }, (_, i) => {
        const transport = tcp({ sequence: n + i * size, flags: TCP_ACK, from: 1 + prng.below(2) }, pattern(size, i));
        const addresses = { from: numberedMac(n % 7), to: numberedMac(prng.below(3)) };
        return vxlan(vni, ether(addresses, ipv4({ from: '10.0.0.1', to: '10.0.0.2', id: i }, transport)).bytes);
      });
      return { bytes: join(...pieces), segmentBytes: pieces[0]!.length, vnet: vnetBytes(null, VNET_BYTES) };
    }
    return { bytes: vxlan(vni, this.inner()), segmentBytes: 0, vnet: vnetBytes(null, VNET_BYTES) };
  }

  private frame(): Template {
    const { prng } = this;
    const from = `192.0.2.${2 + prng.below(2)}`;
    const checksum = ([true, false, 'partial'] as const)[prng.below(3)]!;
    const flags = prng.below(10) === 0 ? prng.below(0x4000) : 0x4000;
    const fields = { from, to: this.settings.to, checksum, tos: prng.below(256), flags };
    const { bytes, vnet } = outerFrame(fields, vxlan(this.vni(), this.inner()));
    return { bytes, segmentBytes: 0, vnet: vnetBytes(vnet, VNET_BYTES) };
  }

  private inner(): Uint8Array {
    const { prng } = this;
    const addresses = { from: numberedMac(prng.below(STATIONS)), to: numberedMac(prng.below(STATIONS)) };
    if (prng.below(8) !== 0) return randomPartial(prng, addresses).bytes;
    // VXLAN in VXLAN: to the outer VTEP a frame like any other.
    const nested = ether(addresses, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, tcp({})));
    return outerFrame({ from: '10.9.9.9', to: this.settings.to }, vxlan(this.vni(), nested.bytes)).bytes;
  }

  private vni(): number {
    const { vnis } = this.settings;
    return this.prng.below(10) === 0 ? this.prng.below(1 << 20) : vnis[this.prng.below(vnis.length)]!;
  }
}
