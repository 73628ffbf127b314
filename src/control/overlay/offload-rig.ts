/**
 * Where the kernel's offloads are tried out: a namespace without a name, a few TAPs in it between which it forwards, and burst I/O of
 * the calling thread for as long as `exchange` runs. Nobody else sees any of it, and closing the descriptors removes all.
 *
 *   `in`     takes super-frames inside of tunnels        198.51.100.0/24   2001:db8:1::/64
 *   `out`    takes nothing unfinished                    192.0.2.0/24      2001:db8:2::/64
 *   `whole`  takes what `in` takes                       203.0.113.0/24    2001:db8:3::/64
 */
import { close as closeFile, writeFileSync } from 'node:fs';
import {
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TSO_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_TUNNEL_CSUM,
  OFFLOAD_TUNNEL_GSO,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PEER_BYTES,
  PORT_TAP,
  PORT_UDP,
  TAP_EXCLUSIVE,
  TAP_VNET_HEADER,
  TUNNEL_HEADER_BYTES,
  VNET_HEADER_BYTES,
} from '../../native/index.js';
import { KernelError } from '../kernel/kernel.js';
import { check } from '../kernel/kernel-error.js';
import { addAddress } from '../kernel/link-addresses.js';
import { findLink, setLink } from '../kernel/links.js';
import { insideNamespace } from '../kernel/namespace-visit.js';
import { withRtnetlink } from '../kernel/rtnetlink.js';

const OFFLOADS = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO4 | OFFLOAD_USO6;
const TUNNEL_OFFLOADS = OFFLOAD_TUNNEL_GSO | OFFLOAD_TUNNEL_CSUM;
/** A new namespace takes settings of IPv4 from the machine (ip-sysctl.rst). */
const FORWARDING = {
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  'ipv4/ip_forward': '1',
};
const IPV6_SETTINGS = {
  'ipv6/conf/all/disable_ipv6': '0',
  'ipv6/conf/default/disable_ipv6': '0',
  'ipv6/conf/all/forwarding': '1',
};
const ROWS = 256;
const SLAB_BYTES = 4 << 20;
const RECEIVE_AT = 1 << 20;
/** What is sent is there at once, but for a machine that has no time: given up when nothing has come for a second. */
const WAIT_MICROS = 50_000;
const IDLE_WAITS = 20;

export type RigTap = 'in' | 'out' | 'whole';

export interface Received {
  view: DataView;
  at: number;
  length: number;
  /** Of its vnet header; 0 = it has none. */
  headerBytes: number;
  /** Of a UDP socket: size of the joined datagrams, 0 = one. */
  segmentBytes: number;
}

/** One row to send; `to` for UDP sockets. */
export interface Sent {
  port: number;
  bytes: Uint8Array;
  to?: { address: Uint8Array; port: number; segmentBytes: number };
}

export class OffloadRig {
  readonly namespaceFd: number;
  /** OFFLOAD_* that `in` and `whole` were granted. */
  granted = 0;
  /** Whether it passes packets from TAP to TAP. */
  readonly forwards: boolean;
  readonly hasIpv6: boolean;
  readonly #taps = new Map<RigTap, { fd: number; headerBytes: number }>();
  readonly #sockets: number[] = [];
  readonly #memory = createMemory();

  private constructor(namespaceFd: number) {
    this.namespaceFd = namespaceFd;
    const { forwards, hasIpv6 } = insideNamespace(namespaceFd, prepareNamespace);
    this.forwards = forwards;
    this.hasIpv6 = hasIpv6;
  }

  static async open(): Promise<OffloadRig> {
    const namespaceFd = check('unshare', 'a namespace to try offloads in', native.makeNamespace());
    let rig: OffloadRig;
    try {
      rig = new OffloadRig(namespaceFd);
    } catch (error) {
      native.closeFd(namespaceFd);
      throw error;
    }
    try {
      await rig.#addTap('in', true, ['198.51.100.1/24', '2001:db8:1::1/64']);
      await rig.#addTap('out', false, ['192.0.2.1/24', '2001:db8:2::1/64']);
      await rig.#addTap('whole', true, ['203.0.113.1/24', '2001:db8:3::1/64']);
      return rig;
    } catch (error) {
      await rig.close();
      throw error;
    }
  }

  /** Opens a UDP socket; returns its port in `exchange`. */
  openSocket(address: string, port: number, flags: number): number {
    const fd = check('bind', `${address} port ${port}`, native.openUdp(this.namespaceFd, address, port, flags));
    return this.#taps.size + this.#sockets.push(fd) - 1;
  }

  portOf(tap: RigTap): number {
    return [...this.#taps.keys()].indexOf(tap);
  }

  /**
   * Sends rows, and returns their results and what comes in at `port` afterwards, until nothing comes any more or there are `wanted`
   * frames that `isWanted`. What was received is valid until the next exchange.
   */
  exchange(
    sent: readonly Sent[],
    port: number,
    wanted: number,
    isWanted: (frame: Received) => boolean = () => true,
  ): { results: number[]; received: Received[] } {
    const memory = this.#memory;
    check('bind', 'burst memory', native.bindBurst(memory.slab.buffer, memory));
    const added = new Set<number>();
    try {
      for (const index of new Set([port, ...sent.map((row) => row.port)])) {
        const { fd, kind, headerBytes } = this.#endOf(index);
        check('epoll_ctl', `port ${index}`, native.addPort(index, fd, kind, headerBytes));
        added.add(index);
      }
      placeRows(memory, sent);
      check('sendmmsg', 'frames', native.transmitBurst(0, sent.length));
      const results = [...memory.txResult.slice(0, sent.length)];
      // Only what is received from may end a wait.
      for (const index of added) if (index !== port && native.removePort(index) === 0) added.delete(index);
      return { results, received: receive(memory, port, this.#endOf(port).headerBytes, wanted, isWanted) };
    } finally {
      for (const index of added) native.removePort(index);
      native.unbindBurst();
    }
  }

  /** Closing a TAP that way takes some 16 ms, in which this thread goes on. */
  async close(): Promise<void> {
    for (const fd of this.#sockets) native.closeFd(fd);
    const closing = [...this.#taps.values()].map(({ fd }) => {
      if (native.disownFd(fd) < 0) return null;
      return new Promise((resolve) => closeFile(fd, resolve));
    });
    await Promise.all(closing);
    native.closeFd(this.namespaceFd);
  }

  #endOf(index: number): { fd: number; kind: number; headerBytes: number } {
    const tap = [...this.#taps.values()][index];
    if (tap !== undefined) return { ...tap, kind: PORT_TAP };
    return { fd: this.#sockets[index - this.#taps.size] ?? -1, kind: PORT_UDP, headerBytes: 0 };
  }

  async #addTap(name: RigTap, hasOffloads: boolean, addresses: readonly string[]): Promise<void> {
    const flags = TAP_VNET_HEADER | TAP_EXCLUSIVE;
    const fd = check('TUNSETIFF', name, native.openTap(this.namespaceFd, name, flags));
    this.#taps.set(name, { fd, headerBytes: VNET_HEADER_BYTES });
    const wanted = hasOffloads ? OFFLOADS | TUNNEL_OFFLOADS : 0;
    const granted = check('TUNSETOFFLOAD', name, native.probeTapOffloads(fd, wanted));
    if (hasOffloads) this.granted = granted;
    const headerBytes = granted & OFFLOAD_TUNNEL_GSO ? TUNNEL_HEADER_BYTES : VNET_HEADER_BYTES;
    this.#taps.set(name, { fd, headerBytes });
    await withRtnetlink(this.namespaceFd, async (rtnetlink) => {
      const link = await findLink(rtnetlink, name);
      if (link === null) throw new KernelError('RTM_GETLINK', name, 'ENODEV', 'it has just been made');
      await setLink(rtnetlink, link.index, name, { mac: RIG_MAC, up: true, noArp: true });
      for (const address of addresses) {
        if (this.hasIpv6 || !address.includes(':')) await addAddress(rtnetlink, link.index, address);
      }
    });
  }
}

/** Destination of what offload-frames.ts builds. */
const RIG_MAC = '02:00:00:00:00:02';

/** Runs inside the namespace. */
function prepareNamespace(): { forwards: boolean; hasIpv6: boolean } {
  return { forwards: areWritten(FORWARDING), hasIpv6: areWritten(IPV6_SETTINGS) };
}

/** False where a setting is missing (a kernel without IPv6) or /proc/sys is not writable (some containers). */
function areWritten(settings: Record<string, string>): boolean {
  try {
    for (const [key, value] of Object.entries(settings)) writeFileSync(`/proc/sys/net/${key}`, value);
    return true;
  } catch {
    return false;
  }
}

function createMemory() {
  const column = (): Int32Array => new Int32Array(new SharedArrayBuffer(ROWS * 4));
  const peers = (): Uint8Array => new Uint8Array(new SharedArrayBuffer(ROWS * PEER_BYTES));
  const slab = new SharedArrayBuffer(SLAB_BYTES);
  const columns = {
    ...{ rxStart: column(), rxLength: column(), txPort: column(), txHeadAt: column(), txHeadBytes: column() },
    ...{ txBodyAt: column(), txBodyBytes: column(), txResult: column(), ready: column() },
    ...{ rxPeer: peers(), txPeer: peers() },
  };
  return { slab: new Uint8Array(slab), ...columns };
}

type Memory = ReturnType<typeof createMemory>;

function placeRows(memory: Memory, sent: readonly Sent[]): void {
  let at = 0;
  for (const [row, { port, bytes, to }] of sent.entries()) {
    memory.slab.set(bytes, at);
    memory.txPort[row] = port;
    memory.txBodyAt[row] = at;
    memory.txBodyBytes[row] = bytes.length;
    at += bytes.length;
    if (to === undefined) continue;
    const peer = new Uint16Array(memory.txPeer.buffer, row * PEER_BYTES, PEER_BYTES / 2);
    peer[0] = to.address.length === 4 ? 4 : 6;
    peer[1] = to.port;
    peer[12] = to.segmentBytes;
    memory.txPeer.set(to.address, row * PEER_BYTES + 8);
  }
}

function receive(
  memory: Memory,
  port: number,
  headerBytes: number,
  wanted: number,
  isWanted: (frame: Received) => boolean,
): Received[] {
  const received: Received[] = [];
  const view = new DataView(memory.slab.buffer);
  let [row, at, idle] = [0, RECEIVE_AT, 0];
  while (idle < IDLE_WAITS && received.length < wanted && row < ROWS) {
    const count = native.receiveBurst(port, row, ROWS - row, at, SLAB_BYTES);
    if (count <= 0) {
      if (native.wait(WAIT_MICROS) <= 0 || count < 0) idle++;
      continue;
    }
    for (const end = row + count; row < end; row++) {
      const start = memory.rxStart[row]!;
      const length = memory.rxLength[row]!;
      const segmentBytes = new Uint16Array(memory.rxPeer.buffer, row * PEER_BYTES, PEER_BYTES / 2)[12]!;
      const frame = { view, at: start, length, headerBytes, segmentBytes };
      at = start + length;
      if (isWanted(frame)) received.push(frame);
    }
  }
  return received;
}
