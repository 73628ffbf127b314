/**
 * A port that shares the IPv4 address of a namespace: what the datapath writes to it leaves through raw IP sockets (package
 * raw-socket), and what comes for the address is handed to `deliver`, everything, also what is for the machine itself.
 *
 *   worker --frames--> pipe in packet mode --> this thread --packets--> raw sockets, header included
 *   raw sockets --packets--> `deliver`
 *
 * The package opens its sockets in the namespace of the thread, and does so before its constructor returns: hence the visit. The
 * datapath knows no offload here (`accepts` 0), so every frame is a whole packet of the MTU at most.
 *
 * What the sockets send carries MARK, by which rules tell it from what the machine's kernel answers (control/uplinks/uplink-rules.ts).
 * Read first: raw(7); for the pipe: pipe(2), O_DIRECT.
 */
import { Socket as Pipe } from 'node:net';
import type raw from 'raw-socket';
import { PORT_TAP } from '../../datapath/program.js';
import { errorName, native } from '../../native/index.js';
import { KernelError, type Namespace, type Tap, type TapRequest } from './kernel.js';
import { check } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';
import { MARK } from './raw-mark.js';

const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17 } as const;
const ETHERNET_BYTES = 14;
const IPV4_HEADER_BYTES = 20;
// linux/in.h, asm-generic/socket.h.
const IPPROTO_IP = 0;
const IP_HDRINCL = 3;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_MARK = 36;
/** The kernel hands over what a network card has joined, up to the longest packet. */
const LONGEST_PACKET = 65_536;
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** Packets that wait for a socket; the package's own queue has no end. */
const MOST_WAITING = 1024;

type CreateSocket = (typeof raw)['createSocket'];
type Sockets = Map<number, ReturnType<CreateSocket>>;

export class RawPort implements Tap {
  readonly fd: number;
  readonly portKind = PORT_TAP;
  readonly headerBytes = 0;
  readonly accepts = 0;
  readonly request: TapRequest;
  private readonly pipe: Pipe;
  private readonly sockets: Sockets;
  private waiting = 0;
  private isOpen = true;

  constructor(fd: number, pipe: Pipe, sockets: Sockets, request: TapRequest) {
    this.fd = fd;
    this.pipe = pipe;
    this.sockets = sockets;
    this.request = request;
    pipe.on('data', (frame: Buffer) => this.send(frame));
    pipe.on('error', () => {}); // its writing end is closed by this class alone
    for (const socket of sockets.values()) {
      socket.on('message', (packet) => request.deliver?.(packet));
      socket.on('error', () => {}); // of one packet; the socket goes on
    }
  }

  currentName(): string | null {
    return this.isOpen ? this.request.ifname : null;
  }

  /** Throws EBUSY while the datapath uses it, and has changed nothing then. */
  close(): void {
    if (!this.isOpen) return;
    const result = native.closeFd(this.fd);
    if (result < 0) throw new KernelError('close', this.request.ifname, errorName(result), 'the datapath uses it');
    this.isOpen = false;
    this.pipe.destroy();
    for (const socket of this.sockets.values()) socket.close();
  }

  /** The end of the process closes what the datapath still uses. */
  release(): void {
    try {
      this.close();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** Frames that are no IPv4 packets of these protocols have nowhere to go; so does what a socket does not take. */
  private send(frame: Buffer): void {
    const at = ETHERNET_BYTES;
    if (!this.isOpen || frame.length < at + IPV4_HEADER_BYTES || frame[at]! >> 4 !== 4) return;
    const length = frame.readUInt16BE(at + 2);
    const socket = this.sockets.get(frame[at + 9]!);
    if (socket === undefined || length > frame.length - at || this.waiting >= MOST_WAITING) return;
    this.waiting++;
    const address = `${frame[at + 16]}.${frame[at + 17]}.${frame[at + 18]}.${frame[at + 19]}`;
    socket.send(frame, at, length, address, () => {
      this.waiting--;
    });
  }
}

/** Rejects with ENOENT when the package is not installed or could not be built. */
export async function openRawPort(namespace: Namespace, request: TapRequest): Promise<Tap> {
  const createSocket = await loadPackage();
  const sockets: Sockets = new Map();
  const readers = new Int32Array(1);
  try {
    insideNamespace(namespace.fd, () => {
      for (const protocol of Object.values(PROTOCOLS)) {
        const socket = createSocket({ protocol, bufferSize: LONGEST_PACKET });
        sockets.set(protocol, socket);
        socket.setOption(IPPROTO_IP, IP_HDRINCL, 1);
        socket.setOption(SOL_SOCKET, SO_MARK, MARK);
        socket.setOption(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
      }
    });
    const fd = check('pipe2', request.ifname, native.openFramePipe(readers));
    // From here on it is Node's to close.
    native.disownFd(readers[0]!);
    const pipe = new Pipe({ fd: readers[0]!, readable: true, writable: false });
    return new RawPort(fd, pipe, sockets, request);
  } catch (error) {
    for (const socket of sockets.values()) socket.close();
    if (error instanceof KernelError) throw error;
    throw new KernelError('socket', request.ifname, 'EPERM', `raw sockets: ${(error as Error).message}`);
  }
}

async function loadPackage(): Promise<CreateSocket> {
  try {
    return (await import('raw-socket')).default.createSocket;
  } catch {
    const why = 'the package raw-socket could not be built when weft was installed: npm rebuild raw-socket';
    throw new KernelError('load', 'raw-socket', 'ENOENT', why);
  }
}
