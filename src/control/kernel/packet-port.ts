/**
 * A port on an interface that exists and stays somebody else's: an AF_PACKET socket that hears everything on its wire and
 * sends onto it. Nothing of the interface is changed but that it listens promiscuously while the socket is open.
 *
 * What the machine itself sends through the interface is not heard, as with macvlan: the machine and weft reach each other
 * only over another one. Read first: packet(7).
 */
import { ACCEPTS_CHECKSUM, ACCEPTS_TSO_ECN, ACCEPTS_TSO4, ACCEPTS_TSO6, PORT_PACKET } from '../../datapath/program.js';
import { errorName, native, PACKET_PROMISCUOUS, PACKET_VNET_HEADER } from '../../native/index.js';
import { KernelError, type Namespace, type Tap, type TapRequest } from './kernel.js';
import { check } from './kernel-error.js';

/** What the kernel finishes in software where the interface cannot. */
const ACCEPTS = ACCEPTS_CHECKSUM | ACCEPTS_TSO4 | ACCEPTS_TSO6 | ACCEPTS_TSO_ECN;

export class PacketPort implements Tap {
  readonly fd: number;
  readonly portKind = PORT_PACKET;
  readonly headerBytes: number;
  readonly accepts: number;
  readonly request: TapRequest;
  private isOpen = true;

  constructor(fd: number, headerBytes: number, request: TapRequest) {
    this.fd = fd;
    this.headerBytes = headerBytes;
    this.accepts = headerBytes === 0 ? 0 : ACCEPTS;
    this.request = request;
  }

  currentName(): string | null {
    return this.isOpen ? this.request.ifname : null;
  }

  /** The end of the process closes what the datapath still uses. */
  release(): void {
    if (this.isOpen) this.isOpen = native.closeFd(this.fd) < 0;
  }

  /** Throws EBUSY while the datapath uses it. */
  close(): void {
    if (!this.isOpen) return;
    const result = native.closeFd(this.fd);
    if (result < 0) throw new KernelError('close', this.request.ifname, errorName(result), 'the datapath uses it');
    this.isOpen = false;
  }
}

/** Throws `KernelError`: ENODEV for an interface that is not there. */
export function openPacketPort(namespace: Namespace, request: TapRequest): PacketPort {
  const { ifname } = request;
  const fd = check('socket', ifname, native.openPacket(namespace.fd, ifname, PACKET_VNET_HEADER | PACKET_PROMISCUOUS));
  const headerBytes = native.packetHeaderBytes(fd);
  if (headerBytes >= 0) return new PacketPort(fd, headerBytes, request);
  native.closeFd(fd);
  throw new KernelError('getsockopt', ifname, errorName(headerBytes), 'the size of its vnet header is not known');
}
