/**
 * TAP devices set up from end to end: device, offloads, MAC, MTU, alias, addresses, routes.
 *
 * A new TAP is made not persistent and becomes so as the very last step: until then, closing its descriptor (which an
 * end of the process does too) removes it with everything on it, so no failure and no `kill -9` leaves half of one
 * behind. Once persistent it has its alias, by which a restarted daemon finds it.
 *
 * Features that the kernel compares on re-adoption (multi-queue, vnet header) are the same for every TAP, always.
 * Read first: Documentation/networking/tuntap.rst, drivers/net/tun.c.
 */
import { close as closeFile } from 'node:fs';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_TUNNEL_CSUM,
  ACCEPTS_TUNNEL_GSO,
  ACCEPTS_USO,
  PORT_TAP,
} from '../../datapath/program.js';
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
  TAP_EXCLUSIVE,
  TAP_EXISTING,
  TAP_VNET_HEADER,
  TUNNEL_HEADER_BYTES,
  VNET_HEADER_BYTES,
} from '../../native/index.js';
import { suppressRedirects } from './forwarding.js';
import { AF_INET6, parsePrefix } from './ip-prefix.js';
import { KernelError, type Namespace, type RouteRequest, type Tap, type TapRequest } from './kernel.js';
import { check, isErrno } from './kernel-error.js';
import { addAddress, removeAddress, repairAddresses } from './link-addresses.js';
import { setNeighbour } from './link-neighbours.js';
import { addRoute, inOrder, nameOf, removeRoute, repairRoutes } from './link-routes.js';
import { findLink, findLinkByAlias, type Link, type LinkChange, setLink } from './links.js';
import { type Rtnetlink, withRtnetlink } from './rtnetlink.js';
import { prepareIpv6 } from './sysctl.js';

/** What ethtool and bonding drivers are told; the kernel's own value for a TAP is 10 Mbit/s. */
const LINK_SPEED_MBPS = 10_000;
/** What the datapath knows to segment and to finish, hence may be handed unfinished. */
const WANTED = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO4 | OFFLOAD_USO6;
const ACCEPTABLE = ACCEPTS_CHECKSUM | ACCEPTS_TSO4 | ACCEPTS_TSO6 | ACCEPTS_TSO_ECN | ACCEPTS_USO;
/** What a TAP of a VTEP has besides. */
const WANTED_OF_TUNNELS = OFFLOAD_TUNNEL_GSO | OFFLOAD_TUNNEL_CSUM;
const ACCEPTABLE_OF_TUNNELS = ACCEPTS_TUNNEL_GSO | ACCEPTS_TUNNEL_CSUM;

class LinuxTap implements Tap {
  readonly fd: number;
  readonly portKind = PORT_TAP;
  readonly headerBytes: number;
  readonly accepts: number;
  request: TapRequest;
  isOpen = true;

  constructor(fd: number, accepts: number, request: TapRequest) {
    this.fd = fd;
    this.headerBytes = accepts & ACCEPTS_TUNNEL_GSO ? TUNNEL_HEADER_BYTES : VNET_HEADER_BYTES;
    this.accepts = accepts;
    this.request = request;
  }

  currentName(): string | null {
    const name = this.isOpen ? native.tapName(this.fd) : null;
    return typeof name === 'string' ? name : null;
  }
}

/** What the kernel granted, by what was wanted: the same for all TAPs of one kernel, so it is asked step by step only once. */
const grantedOffloads = new Map<number, number>();

/** See Kernel.createTap. */
export async function createTap(namespace: Namespace, request: TapRequest): Promise<Tap> {
  const { ifname } = request;
  if (ifname.includes('%')) throw new KernelError('TUNSETIFF', ifname, 'EINVAL', 'a name, not a pattern, is wanted');
  const flags = TAP_VNET_HEADER | TAP_EXCLUSIVE;
  const fd = check('TUNSETIFF', ifname, native.openTap(namespace.fd, ifname, flags));
  try {
    const accepts = setOffloads(fd, request);
    prepareIpv6(namespace.fd, ifname, request, hasIpv6(request));
    if (request.kind === 'uplink') suppressRedirects(namespace.fd, ifname);
    setSpeed(namespace.fd, ifname);
    await withRtnetlink(namespace.fd, async (rtnetlink) => {
      const { index } = await requireLink(rtnetlink, ifname);
      const { mac, mtu, alias } = request;
      const isService = request.kind === 'service';
      await inOneGo([
        setLink(rtnetlink, index, ifname, { mac, mtu, alias, up: true, ...(isService ? { noArp: true } : {}) }),
        ...request.addresses.map((address) => addAddress(rtnetlink, index, address)),
        ...inOrder(request.routes).map((route) => addRoute(rtnetlink, index, route)),
        ...neighboursOf(request).map(({ address, mac: theirs }) => setNeighbour(rtnetlink, index, address, theirs)),
      ]);
    });
    check('TUNSETPERSIST', ifname, native.setTapPersist(fd, 1));
    return new LinuxTap(fd, accepts, request);
  } catch (error) {
    await closeInBackground(fd);
    throw error;
  }
}

/** See Kernel.adoptTap. On a failure the TAP stays, as far as it was repaired. */
export async function adoptTap(namespace: Namespace, request: TapRequest): Promise<Tap | null> {
  return withRtnetlink(namespace.fd, async (rtnetlink) => {
    const link = await findLinkByAlias(rtnetlink, request.alias, request.ifname);
    if (link === null) return null;
    const flags = TAP_VNET_HEADER | TAP_EXISTING;
    const fd = check('TUNSETIFF', link.ifname, native.openTap(namespace.fd, link.ifname, flags));
    try {
      const accepts = setOffloads(fd, request);
      check('TUNSETPERSIST', link.ifname, native.setTapPersist(fd, 1));
      check('TUNSETCARRIER', link.ifname, native.setTapCarrier(fd, 1));
      prepareIpv6(namespace.fd, link.ifname, request, hasIpv6(request));
      if (request.kind === 'uplink') suppressRedirects(namespace.fd, link.ifname);
      setSpeed(namespace.fd, link.ifname);
      const change = differences(link, request);
      if (Object.keys(change).length > 0) await setLink(rtnetlink, link.index, link.ifname, change);
      await repairAddresses(rtnetlink, link.index, request.addresses);
      await repairRoutes(rtnetlink, link.index, request.routes);
      for (const { address, mac } of neighboursOf(request)) await setNeighbour(rtnetlink, link.index, address, mac);
      return new LinuxTap(fd, accepts, request);
    } catch (error) {
      native.closeFd(fd);
      throw error;
    }
  });
}

/** See Kernel.updateTap. Changes what differs between the two requests, where the TAP is now; undone on a failure. */
export async function updateTap(namespace: Namespace, tap: Tap, request: TapRequest): Promise<void> {
  const before = tap.request;
  const name = native.tapName(tap.fd);
  if (typeof name === 'number') check('TUNGETIFF', before.ifname, name);
  const present = native.tapNamespace(tap.fd); // another program may have moved it
  const undo: (() => Promise<void>)[] = [];
  try {
    const namespaceFd = present < 0 ? namespace.fd : present;
    prepareIpv6(namespaceFd, String(name), request, hasIpv6(request));
    await withRtnetlink(namespaceFd, async (rtnetlink) => {
      const { index, mtu } = await requireLink(rtnetlink, String(name));
      try {
        await applyChanges(rtnetlink, index, mtu, before, request, undo);
      } catch (error) {
        for (const step of undo.reverse()) await step().catch(() => {}); // the first failure is the one to report
        throw error;
      }
    });
  } finally {
    if (present >= 0) native.closeFd(present);
  }
  asLinuxTap(tap).request = request;
}

/** See Kernel.releaseTap. */
export function releaseTap(tap: Tap): void {
  const own = asLinuxTap(tap);
  if (!own.isOpen) return;
  native.setTapCarrier(own.fd, 0);
  own.isOpen = native.closeFd(own.fd) < 0; // EBUSY: the datapath still has it; the end of the process closes it
}

/** See Kernel.removeTap. Takes about 16 ms, in which this thread goes on. EBUSY while the datapath uses the TAP. */
export async function removeTap(tap: Tap): Promise<void> {
  const own = asLinuxTap(tap);
  if (!own.isOpen) return;
  native.setTapPersist(own.fd, 0); // EBADFD: another program removed the device, or its namespace ended
  own.isOpen = false;
  try {
    await closeInBackground(own.fd);
  } catch (error) {
    native.setTapPersist(own.fd, 1);
    own.isOpen = true;
    throw error;
  }
}

async function applyChanges(
  rtnetlink: Rtnetlink,
  index: number,
  mtu: number,
  before: TapRequest,
  after: TapRequest,
  undo: (() => Promise<void>)[],
): Promise<void> {
  if (mtu !== after.mtu) {
    await setLink(rtnetlink, index, after.ifname, { mtu: after.mtu });
    undo.push(() => setLink(rtnetlink, index, after.ifname, { mtu }));
  }
  const hadAddress = new Set(before.addresses);
  const hasAddress = new Set(after.addresses);
  const hadRoute = new Set(before.routes.map(nameOf));
  const hasRoute = new Set(after.routes.map(nameOf));
  for (const route of before.routes.filter((each) => !hasRoute.has(nameOf(each)))) {
    await removeRoute(rtnetlink, index, route);
    undo.push(() => addRoute(rtnetlink, index, route));
  }
  for (const address of after.addresses.filter((each) => !hadAddress.has(each))) {
    if (await isNew(addAddress(rtnetlink, index, address))) undo.push(() => removeAddress(rtnetlink, index, address));
  }
  for (const address of before.addresses.filter((each) => !hasAddress.has(each))) {
    await removeAddress(rtnetlink, index, address);
    undo.push(() => addAddress(rtnetlink, index, address));
  }
  for (const route of inOrder(after.routes.filter((each: RouteRequest) => !hadRoute.has(nameOf(each))))) {
    if (await isNew(addRoute(rtnetlink, index, route))) undo.push(() => removeRoute(rtnetlink, index, route));
  }
}

/** Waits for all, so that none is under way after a failure, and rejects with the first failure in their order. */
async function inOneGo(requests: Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(requests)) {
    if (result.status === 'rejected') throw result.reason;
  }
}

/** False when somebody had added the same by hand. */
async function isNew(addition: Promise<void>): Promise<boolean> {
  try {
    await addition;
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

/**
 * Returns what may be written to the TAP as it is: without offload nothing, so that weft finishes each frame for it.
 */
function setOffloads(fd: number, request: TapRequest): number {
  const wanted = !request.offload ? 0 : request.tunnelOffload ? WANTED | WANTED_OF_TUNNELS : WANTED;
  const ask = grantedOffloads.get(wanted) ?? wanted;
  const granted = check('TUNSETOFFLOAD', request.ifname, native.probeTapOffloads(fd, ask));
  if (!request.offload) return 0;
  grantedOffloads.set(wanted, granted);
  return granted & (request.tunnelOffload ? ACCEPTABLE | ACCEPTABLE_OF_TUNNELS : ACCEPTABLE);
}

function setSpeed(namespaceFd: number, ifname: string): void {
  const result = native.setLinkSpeed(namespaceFd, ifname, LINK_SPEED_MBPS);
  try {
    check('ETHTOOL_SLINKSETTINGS', ifname, result);
  } catch (error) {
    if (!isErrno(error, 'EOPNOTSUPP', 'ENOTSUP')) throw error; // cosmetic, and missing in some kernels
  }
}

function differences(link: Link, request: TapRequest): LinkChange {
  const change: LinkChange = {};
  if (link.mac !== request.mac.toLowerCase()) change.mac = request.mac;
  if (link.mtu !== request.mtu) change.mtu = request.mtu;
  if (!link.up) change.up = true;
  return change;
}

async function requireLink(rtnetlink: Rtnetlink, ifname: string): Promise<Link> {
  const link = await findLink(rtnetlink, ifname);
  if (link === null) throw new KernelError('RTM_GETLINK', ifname, 'ENODEV', 'another program has just removed it');
  return link;
}

function hasIpv6({ addresses, routes }: TapRequest): boolean {
  return [...addresses, ...routes.map(({ destination }) => destination)].some(
    (text) => parsePrefix(text).family === AF_INET6,
  );
}

function neighboursOf({ neighbours }: TapRequest): { address: string; mac: string }[] {
  return neighbours ?? [];
}

function asLinuxTap(tap: Tap): LinuxTap {
  if (tap instanceof LinuxTap) return tap;
  throw new Error('a Tap of another kernel');
}

/**
 * Closes the last descriptor of a device, which removes it. The kernel waits some 16 ms for an RCU grace period then:
 * on a thread of libuv, not on this one. Rejects with EBUSY, and does nothing, while the datapath uses the descriptor.
 */
async function closeInBackground(fd: number): Promise<void> {
  if (native.disownFd(fd) < 0) throw new KernelError('close', `descriptor ${fd}`, 'EBUSY', 'the datapath uses it');
  await new Promise((resolve) => closeFile(fd, resolve));
}
