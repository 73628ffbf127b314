/**
 * A port that is a UDP socket of a namespace: one end of VXLAN tunnels. A receiver hears everything that comes for its address and
 * port; a sender has a port of its own, by which routers on the way tell flows apart (RFC 7348 section 5), and hears nothing.
 * Read first: udp(7), ip(7).
 */
import { randomInt } from 'node:crypto';
import { PORT_UDP } from '../../datapath/program.js';
import {
  errorName,
  native,
  UDP_COALESCED,
  UDP_DEAF,
  UDP_DONT_FRAGMENT,
  UDP_ZERO_CHECKSUM,
} from '../../native/index.js';
import { KernelError, type Namespace, type Tap, type TapRequest, type UdpRequest } from './kernel.js';
import { check, isErrno, kernelError } from './kernel-error.js';

/** RFC 7348 section 5, RFC 6335: the dynamic ports. */
const FIRST_SENDER = 49152;
const LAST_SENDER = 65535;
/** Ports are taken at random, so that two daemons seldom meet; half of them taken leave a chance of one in 2^64. */
const SENDER_ATTEMPTS = 64;
/** As kernel VXLAN: groups may be behind routers. */
const MULTICAST_HOPS = 64;

export class UdpPort implements Tap {
  readonly fd: number;
  readonly portKind = PORT_UDP;
  readonly headerBytes = 0;
  readonly accepts = 0;
  readonly request: TapRequest;
  readonly udpPort: number;
  private isOpen = true;

  constructor(fd: number, udpPort: number, request: TapRequest) {
    this.fd = fd;
    this.udpPort = udpPort;
    this.request = request;
  }

  currentName(): string | null {
    return this.isOpen ? this.request.ifname : null;
  }

  /** Throws ENODEV when there is no such interface. */
  setGroupInterface(ifname: string | null): void {
    check('IP_MULTICAST_IF', this.request.ifname, native.setMulticast(this.fd, ifname ?? '', MULTICAST_HOPS));
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

/** Throws `KernelError`: EADDRINUSE for a port that somebody has, EADDRNOTAVAIL for an address that the namespace has not. */
export function openUdpPort(namespace: Namespace, request: TapRequest): UdpPort {
  const { ifname, udp } = request;
  if (udp === undefined) throw new Error(`${ifname} is no UDP socket`);
  const { fd, port } = udp.isSender ? openSender(namespace, ifname, udp) : openReceiver(namespace, ifname, udp);
  try {
    if (udp.group !== null) {
      const { address, ifname: link } = udp.group;
      check('IP_ADD_MEMBERSHIP', `${ifname}, group ${address}`, native.joinGroup(fd, address, link ?? ''));
    }
    return new UdpPort(fd, port, request);
  } catch (error) {
    native.closeFd(fd);
    throw error;
  }
}

interface BoundSocket {
  fd: number;
  port: number;
}

function openReceiver(namespace: Namespace, subject: string, { address, port }: UdpRequest): BoundSocket {
  const flags = UDP_COALESCED | UDP_DONT_FRAGMENT | UDP_ZERO_CHECKSUM;
  return { fd: check('bind', subject, native.openUdp(namespace.fd, address, port, flags)), port };
}

function openSender(namespace: Namespace, subject: string, { address, port }: UdpRequest): BoundSocket {
  const flags = UDP_DEAF | UDP_DONT_FRAGMENT;
  if (port !== 0) return { fd: check('bind', subject, native.openUdp(namespace.fd, address, port, flags)), port };
  for (let attempt = 1; ; attempt++) {
    const candidate = randomInt(FIRST_SENDER, LAST_SENDER + 1);
    const fd = native.openUdp(namespace.fd, address, candidate, flags);
    if (fd >= 0) return { fd, port: candidate };
    const error = kernelError('bind', subject, fd);
    if (!isErrno(error, 'EADDRINUSE') || attempt >= SENDER_ATTEMPTS) throw error;
  }
}
