// The native addon, typed: TAP devices, sockets, network namespaces and burst I/O (C sources and README.md beside this
// file). It has no policy and parses no protocol; whoever calls it decides.
//
// Every function answers >= 0 on success and -errno otherwise (`errorName` gives it a name), and -EINVAL for an
// argument of a wrong type or range. None throws and none crashes, whatever it is given. All are synchronous; the state of burst
// I/O belongs to the thread (main thread or worker) that calls, descriptors belong to the process.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants as osConstants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';

/** Raised together with ABI_VERSION in addon.c whenever an argument changes its meaning. */
const NATIVE_ABI = 3;

/** As `nsFd`: the namespace of the calling thread. */
export const NO_NAMESPACE = -1;

/** openTap: frames carry a 12-byte virtio-net header in front, little-endian on every machine. */
export const TAP_VNET_HEADER = 1;
export const TAP_MULTI_QUEUE = 2;
/** openTap: the device stays when its descriptor is closed. */
export const TAP_PERSIST = 4;
/** openTap: -EEXIST when a device of that name exists. */
export const TAP_EXCLUSIVE = 8;
/** openTap: -ENODEV when no device of that name exists. */
export const TAP_EXISTING = 16;

/** probeTapOffloads (TUN_F_* of linux/if_tun.h): what may be handed over unfinished. */
export const OFFLOAD_CHECKSUM = 0x01;
export const OFFLOAD_TSO4 = 0x02;
export const OFFLOAD_TSO6 = 0x04;
export const OFFLOAD_TSO_ECN = 0x08;
/** USO4 and USO6 are accepted only together (Linux 6.2). */
export const OFFLOAD_USO4 = 0x20;
export const OFFLOAD_USO6 = 0x40;
/**
 * Super-frames inside of a UDP tunnel, without and with a checksum of the outer datagram (Linux 6.17). The TAP has a header of
 * TUNNEL_HEADER_BYTES then: the 12 bytes, a hash (8), offsets of the outer UDP header and of the inner IP header (le16 each).
 */
export const OFFLOAD_TUNNEL_GSO = 0x80;
export const OFFLOAD_TUNNEL_CSUM = 0x100;

/** Vnet header of a TAP (TAP_VNET_HEADER), and of one that was granted OFFLOAD_TUNNEL_GSO. */
export const VNET_HEADER_BYTES = 12;
export const TUNNEL_HEADER_BYTES = 24;

/** openPacket: frames carry a virtio-net header; packetHeaderBytes() tells its size. */
export const PACKET_VNET_HEADER = 1;
export const PACKET_PROMISCUOUS = 2;

/**
 * openUdp: the kernel joins datagrams of one flow (UDP_GRO); rows of rxPeer tell the size of the pieces. Where it cannot (before
 * Linux 5.0) they come one by one.
 */
export const UDP_COALESCED = 1;
/** openUdp: SO_REUSEPORT. */
export const UDP_REUSE = 2;
/** openUdp: sends only; whatever comes in for it is thrown away by the kernel. */
export const UDP_DEAF = 4;
/** openUdp: never fragmented, here nor on the way (DF; path MTUs are not believed): -EMSGSIZE when larger than the interface allows. */
export const UDP_DONT_FRAGMENT = 8;
/** openUdp: over IPv6, takes datagrams without checksum too (RFC 6935); over IPv4 every socket does. */
export const UDP_ZERO_CHECKSUM = 16;

/** openListener: kinds of sockets. */
export const LISTEN_UDP = 0;
export const LISTEN_TCP = 1;

/** addPort: kinds of ports. */
export const PORT_TAP = 0;
export const PORT_PACKET = 1;
export const PORT_UDP = 2;

/** wait: the wake-up descriptor fired. */
export const READY_WAKE = -1;
/** wait: bit beside the port number. receiveBurst says what is wrong; a dead port is reported until removePort. */
export const READY_ERROR = 0x40000000;

/** Port numbers are 0 .. MAX_PORTS - 1. */
export const MAX_PORTS = 4096;
/** Bytes in front of every received frame, its vnet header included. */
export const FRAME_HEADROOM = 128;
/** More room than that in front of messages of UDP sockets, and of frames of TAPs whose header is longer than VNET_HEADER_BYTES. */
export const SPREAD_BYTES = 256;
/** receiveBurst begins a frame only where this much room is left behind its start. */
export const FRAME_ROOM = 65536 + 64;
/** Longest header in front of the frames of a port. */
export const MAX_HEADER_BYTES = 64;
/** wait never blocks longer, so that a worker can be terminated. */
export const MAX_WAIT_MICROS = 100_000;

/** mapFile, claimFile. */
export const MAX_MAPPED_BYTES = 1 << 30;
export const MAX_CLAIMED_BYTES = 1 << 24;

/**
 * Bytes of one row of rxPeer and txPeer, in machine byte order except for the address (network order):
 * family u16 (PEER_*), port u16, scope u32 (interface index), address 16 bytes (IPv4 in the first four),
 * segmentBytes u16 (payload of every datagram but the last when several are joined, 0 = one datagram), trafficClass u8 (TOS or
 * traffic class: of what was received, or to send with), flags u8 (PEER_*), 4 bytes zero.
 */
export const PEER_BYTES = 32;
/**
 * Flag of a row of txPeer: the row is a further piece of the message (of a TAP: of the frame) that the row before belongs to, and nothing
 * else of its peer is read. Rows of one message have one result. At most MAX_JOINED_ROWS; all for one UDP port or TAP.
 */
export const PEER_CONTINUES = 1;
export const MAX_JOINED_ROWS = 64;
export const PEER_NONE = 0;
export const PEER_IPV4 = 4;
export const PEER_IPV6 = 6;

/**
 * Where burst I/O reads and writes. The columns are indexed by row; the shortest of a direction bounds its rows.
 * Buffers may be ArrayBuffers or SharedArrayBuffers (which are faster to check: they cannot be detached), not resizable
 * ones. Few distinct buffers are best: each call checks each of them.
 */
export interface BurstColumns {
  rxStart: Int32Array;
  rxLength: Int32Array;
  txPort: Int32Array;
  /** Offset and size of the first piece of a frame, size 0: none. */
  txHeadAt: Int32Array;
  txHeadBytes: Int32Array;
  txBodyAt: Int32Array;
  txBodyBytes: Int32Array;
  /** 0 or -errno, written by transmitBurst. */
  txResult: Int32Array;
  /** Written by wait, which reports at most 256 ports at once. */
  ready: Int32Array;
  /** PEER_BYTES per row; may be empty where there is no UDP port. */
  rxPeer: Uint8Array;
  txPeer: Uint8Array;
}

export interface Native {
  // Namespaces
  /** Opens a network namespace (/run/netns/x, /proc/PID/ns/net): a descriptor; -EINVAL for a file that is not one. */
  openNamespace(path: string): number;
  /**
   * Makes a namespace with `lo` up, mounted on a new file `path` (absolute); -EEXIST when the file exists. It is mounted
   * where process 1 sees it, also when this process has a mount namespace of its own.
   */
  createNamespace(path: string): number;
  /** Unmounts and unlinks what createNamespace made; -EINVAL when `path` is anything else. */
  removeNamespace(path: string): number;
  /** Moves the calling thread into the namespace of `fd` (a namespace or a pidfd). */
  enterNamespace(fd: number): number;
  /** Device and inode of the namespace into out[0], out[1]: equal for two descriptors of one namespace. */
  namespaceIdentity(fd: number, out: Float64Array): number;
  /** Replaces this process by `file` (searched in PATH) with arguments `[file, ...args]`. Returns only on failure. */
  execProgram(file: string, args: readonly string[]): number;
  /** A new namespace with `lo` up that has no name: it ends with its last descriptor and device. Returns a descriptor. */
  makeNamespace(): number;
  /**
   * From now on what this thread mounts is seen by nobody else. For a process that goes on to execProgram; the root of the
   * thread is its own from here on.
   */
  privateMounts(): number;
  /** Lets the file `from` be seen at `to` too (absolute paths of files that exist). */
  bindMount(from: string, to: string): number;
  pidfdOpen(pid: number): number;

  // TAP
  /** Opens TAP `name` inside namespace `nsFd`, or attaches to it. Returns a non-blocking descriptor. */
  openTap(nsFd: number, name: string, flags: number): number;
  /**
   * Enables the largest subset of `wanted` (OFFLOAD_*) that the kernel accepts; returns it. Needs TAP_VNET_HEADER. The vnet header
   * has TUNNEL_HEADER_BYTES from then on if OFFLOAD_TUNNEL_GSO is among them, else VNET_HEADER_BYTES.
   */
  probeTapOffloads(fd: number, wanted: number): number;
  setTapCarrier(fd: number, on: 0 | 1): number;
  setTapPersist(fd: number, on: 0 | 1): number;
  /** The present name of the device, also after a rename. */
  tapName(fd: number): string | number;
  /** A descriptor of the namespace in which the device is now. */
  tapNamespace(fd: number): number;
  /** Sets what ethtool reports of interface `ifname`: speed, full duplex. */
  setLinkSpeed(nsFd: number, ifname: string, mbps: number): number;

  // Sockets
  /** An AF_PACKET socket bound to `ifname`; what leaves through that interface is not heard. */
  openPacket(nsFd: number, ifname: string, flags: number): number;
  /** Size of the vnet header of an AF_PACKET socket: 12, 10 (before Linux 6.5) or 0. */
  packetHeaderBytes(fd: number): number;
  /**
   * A UDP socket bound to an IPv4 or IPv6 address ("fe80::1%eth0" names the link; a multicast group is one too) and port (0: any),
   * and to `ifname` where one is given. Of multicast it hears the groups that it joined, no others.
   */
  openUdp(nsFd: number, address: string, port: number, flags: number, ifname?: string): number;
  /** Port that a UDP socket is bound to. */
  udpPort(fd: number): number;
  /** Has a UDP socket hear a multicast group on interface `ifname` of its namespace; empty: where the route to the group leads. */
  joinGroup(fd: number, group: string, ifname: string): number;
  leaveGroup(fd: number, group: string, ifname: string): number;
  /**
   * How a UDP socket sends to groups: by interface `ifname` (empty: by the route), with TTL or hop limit `hops` (1 .. 255), and not
   * to listeners of this host.
   */
  setMulticast(fd: number, ifname: string, hops: number): number;
  /**
   * A UDP or TCP socket (LISTEN_*) of namespace `nsFd` for a server of Node.js, which gets the descriptor by `disownFd`: bound
   * to an address, a port and the interface `ifname`, not listening yet. The kernel sends its answers over that interface.
   */
  openListener(nsFd: number, kind: number, address: string, port: number, ifname: string): number;
  /** Closes a descriptor that came from this addon: -EBADF for others, -EBUSY while it is a port. */
  closeFd(fd: number): number;
  /**
   * Leaves a descriptor to the caller, who closes it in some other way; same refusals as closeFd. For the last
   * descriptor of a TAP that is not persistent: closing it takes some 16 ms, which another thread (node:fs close) can
   * wait for.
   */
  disownFd(fd: number): number;

  // Burst I/O, per thread
  createWake(): number;
  /** Ends the `wait` of the thread that called setWake(fd); from any thread. */
  wake(fd: number): number;
  setWake(fd: number): number;
  bindBurst(slab: ArrayBufferLike, columns: BurstColumns): number;
  unbindBurst(): number;
  /** Frames of this port carry `headerBytes` in front. The descriptor stays the caller's. */
  addPort(port: number, fd: number, kind: number, headerBytes: number): number;
  removePort(port: number): number;
  /** Waits until a port can be read, at most MAX_WAIT_MICROS, and fills `ready`. Returns the number of entries. */
  wait(timeoutMicros: number): number;
  /**
   * Reads up to `maxFrames` frames into the slab between `at` and `endAt`: start = ((at + 128 + 15) & ~15) + 2, the
   * header lies right before it, the next frame follows at start + length. (AF_PACKET: 132 instead of 128, room for
   * the VLAN tag that the kernel took out.) Fills rxStart, rxLength (and rxPeer) from row `firstRow` on. Returns the
   * number of frames, or -errno when the first read fails with anything but EAGAIN.
   */
  receiveBurst(port: number, firstRow: number, maxFrames: number, at: number, endAt: number): number;
  /** Sends tx rows [first, first + count), each to its port. Fills txResult; returns the number of rows sent. */
  transmitBurst(first: number, count: number): number;
  /** RFC 1071 sum of a range of the slab plus `initial`, folded to 16 bits, not inverted, as big-endian words. */
  checksum(at: number, length: number, initial: number): number;

  // Service manager
  /** Sends one message of sd_notify(3) to its socket: a path, or a name of the abstract namespace behind @. */
  notifySupervisor(address: string, message: string): number;

  // Pipes
  /** 1 while somebody reads the pipe or socket `fd`, 0 when nobody does any more. Never waits. */
  hasReader(fd: number): number;
  /**
   * A pipe that is a port (PORT_TAP, no header): returns its writing end, and puts the reading one into readers[0]. Each write is one
   * frame of up to 4096 bytes, each read returns one. Both are non-blocking; a full pipe (some 250 frames) answers EAGAIN.
   */
  openFramePipe(readers: Int32Array): number;

  // Memory
  /** From now on large buffers of this process go back to the kernel when they are freed. */
  returnFreedMemory(): number;
  /**
   * The first `bytes` of a file as memory that all who map it share and that outlives them. The file (absolute path) is made or
   * lengthened by a hole if need be; -EPERM when it is no regular file of this user with one name. Nobody may shorten it.
   */
  mapFile(path: string, bytes: number): ArrayBuffer | number;
  /** Claims room for `bytes` from `offset` on, so that touching them cannot fail: -ENOSPC when there is none. */
  claimFile(path: string, offset: number, bytes: number): number;
}

type Addon = Omit<Native, 'bindBurst'> & {
  abi: number;
  constants: Record<string, number>;
  bindBurst(slab: Uint8Array, ...columns: (Int32Array | Uint8Array)[]): number;
};

/** Directory of package.json, wherever the compiled file lies below it. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
    directory = parent;
  }
  return directory;
}

function loadAddon(): Addon {
  const path = join(packageRoot(), 'build', 'weft-native.node');
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    throw new Error(`cannot load weft's native addon ${path}; build it: scripts/build-native`, { cause: error });
  }
  if (addon.abi === NATIVE_ABI) return addon;
  throw new Error(`the native addon ${path} is of another version; build it again: scripts/build-native --force`);
}

const addon = loadAddon();

/** True for what the addon may keep a pointer into. Resizable memory can shrink under it. */
function isFixed(buffer: ArrayBufferLike): boolean {
  return (buffer as { resizable?: boolean }).resizable !== true;
}

function bindBurst(slab: ArrayBufferLike, columns: BurstColumns): number {
  const { EINVAL } = osConstants.errno;
  if (!types.isAnyArrayBuffer(slab)) return -EINVAL;
  try {
    const c = columns;
    const arrays = [c.rxStart, c.rxLength, c.txPort, c.txHeadAt, c.txHeadBytes, c.txBodyAt, c.txBodyBytes];
    const rest = [c.txResult, c.ready, c.rxPeer, c.txPeer];
    const all = [new Uint8Array(slab), ...arrays, ...rest] as const;
    if (!all.every((array) => isFixed(array.buffer))) return -EINVAL;
    return addon.bindBurst(...all);
  } catch {
    return -EINVAL; // not an object, not buffers, or detached ones
  }
}

export const native: Native = { ...addon, bindBurst };

/** The numbers of the C side, for the test that compares them with the constants above. */
export const nativeConstants: Readonly<Record<string, number>> = addon.constants;

// Node's table lacks EBADFD, which a tun descriptor answers when its device is gone.
const ERROR_NAMES = new Map<number, string>([[77, 'EBADFD']]);
for (const [name, number] of Object.entries(osConstants.errno)) {
  if (!ERROR_NAMES.has(number)) ERROR_NAMES.set(number, name); // the first name wins: EAGAIN, not EWOULDBLOCK
}

/** "ENODEV" for -19 or 19. */
export function errorName(result: number): string {
  return ERROR_NAMES.get(Math.abs(result)) ?? `errno ${Math.abs(result)}`;
}
