/**
 * A `Kernel` over a fake machine. Keeps the promises of kernel.ts, fails where a test tells it to, and keeps account of
 * file descriptors: what is closed twice, or used after it was closed, is in `faults`.
 */
import {
  type FoundLink,
  type FoundListener,
  type FoundRoute,
  type FoundTap,
  type FoundVxlan,
  type Kernel,
  KernelError,
  type Namespace,
  type NamespaceWatch,
  type RouteRequest,
  type RoutingRequest,
  type SocketOwner,
  type Tap,
  type TapRequest,
} from '../../src/control/kernel/kernel.js';
import { PORT_PACKET, PORT_TAP, PORT_UDP } from '../../src/datapath/program.js';
import type { FakeInterface, FakeMachine, FakeNamespace } from './fake-machine.js';

interface OpenTap extends Tap {
  request: TapRequest;
}

export class FakeKernel implements Kernel {
  readonly machine: FakeMachine;
  /** Mistakes of the code under test. */
  readonly faults: string[] = [];
  /** Every call so far, as `createTap eth0`. */
  readonly calls: string[] = [];
  /** Whether a port of the datapath still uses a file descriptor; wired by control-lab.ts. */
  isPolled: (fd: number) => boolean = () => false;
  private readonly fds = new Map<number, string>();
  private readonly host: Namespace;
  private readonly watches = new Set<NamespaceWatch>();
  private nextFd = 10;
  /** Takes the packets that come to the raw sockets which were made last. */
  rawDelivery: TapRequest['deliver'] | null = null;
  private callsUntilFailure = Number.POSITIVE_INFINITY;
  private failure = 'EIO';
  private readonly failures = new Map<string, string>();

  constructor(machine: FakeMachine) {
    this.machine = machine;
    const { device, inode } = machine.host;
    this.host = { fd: this.open('host namespace'), path: '/proc/self/ns/net', device, inode };
  }

  /** The n-th call from now on fails, whatever it is; 1 is the next one. */
  failAt(n: number, errno = 'EIO'): void {
    this.callsUntilFailure = n;
    this.failure = errno;
  }

  /** The next call of a method fails. */
  failNext(method: keyof Kernel, errno: string): void {
    this.failures.set(method, errno);
  }

  /** Whether the failure of `failAt` has happened. */
  get hasFailed(): boolean {
    return this.callsUntilFailure <= 0;
  }

  stopFailing(): void {
    this.callsUntilFailure = Number.POSITIVE_INFINITY;
    this.failures.clear();
  }

  /** File descriptors that are open, by what they are: `tap eth0`, `namespace /run/netns/a`. */
  get openDescriptors(): string[] {
    return [...this.fds.values()].sort();
  }

  get watchCount(): number {
    return this.watches.size;
  }

  /** The process dies: every file descriptor is closed at once, persistent TAPs stay. */
  die(): void {
    for (const namespace of this.machine.all()) {
      for (const each of namespace.interfaces.values()) if (this.fds.has(each.openFd ?? -1)) each.openFd = null;
    }
    this.fds.clear();
    this.machine.nameless.clear();
    for (const watch of [...this.watches]) watch.stop();
  }

  async createNamespace(name: string): Promise<Namespace> {
    await this.call('createNamespace', name);
    const path = `/run/netns/${name}`;
    if (this.machine.namespaces.has(path)) throw refusal('create', path, 'EEXIST');
    this.machine.markers.add(name);
    this.machine.addNamespace(path);
    return this.openAt(path);
  }

  async removeNamespace(name: string): Promise<void> {
    await this.call('removeNamespace', name);
    if (!this.machine.markers.delete(name)) return;
    this.machine.namespaces.delete(`/run/netns/${name}`);
  }

  async ownedNamespaces(): Promise<string[]> {
    await this.call('ownedNamespaces', '');
    return [...this.machine.markers].filter((name) => this.machine.namespaces.has(`/run/netns/${name}`));
  }

  async openNamespace(path: string): Promise<Namespace> {
    await this.call('openNamespace', path);
    return this.openAt(path);
  }

  async makeServiceNamespace(): Promise<Namespace> {
    await this.call('makeServiceNamespace', '');
    const path = 'the service namespace';
    const fd = this.open(path);
    const { device, inode } = this.machine.addNameless(fd);
    return { fd, path, device, inode };
  }

  closeNamespace(namespace: Namespace): void {
    this.machine.nameless.delete(namespace.fd);
    this.close(namespace.fd);
  }

  hostNamespace(): Namespace {
    return this.host;
  }

  watchNamespace(namespace: Namespace, _pid: number | null, gone: () => void): NamespaceWatch {
    const stopListening = this.machine.onNamespaceEnd((ended) => {
      if (ended.inode === namespace.inode) gone();
    });
    const watch = {
      stop: () => {
        stopListening();
        this.watches.delete(watch);
      },
    };
    this.watches.add(watch);
    return watch;
  }

  async createTap(namespace: Namespace, request: TapRequest): Promise<Tap> {
    await this.call('createTap', request.ifname);
    const place = this.placeOf(namespace);
    if (request.kind === 'udp') {
      const device = this.machine.addTap(this.machine.makeNamespace(), request, -1);
      return { ...this.tapOf(device, this.open(`udp ${request.ifname}`), request), portKind: PORT_UDP, headerBytes: 0 };
    }
    if (request.kind === 'raw') {
      const device = this.machine.addTap(this.machine.makeNamespace(), request, -1);
      this.rawDelivery = request.deliver ?? null;
      return this.tapOf(device, this.open(`raw ${request.ifname}`), request);
    }
    if (request.kind === 'packet') {
      const device = place.interfaces.get(request.ifname);
      if (device === undefined) throw refusal('socket', request.ifname, 'ENODEV');
      return { ...this.tapOf(device, this.open(`packet ${request.ifname}`), request), portKind: PORT_PACKET };
    }
    if (place.interfaces.has(request.ifname)) throw refusal('TUNSETIFF', request.ifname, 'EEXIST');
    for (const { routes } of place.interfaces.values()) {
      const isSame = (a: RouteRequest, b: RouteRequest) => a.destination === b.destination && a.metric === b.metric;
      const taken = request.routes.find((route) => routes.some((other) => isSame(route, other)));
      if (taken !== undefined) throw refusal('RTM_NEWROUTE', taken.destination, 'EEXIST');
    }
    const fd = this.open(`tap ${request.ifname}`);
    return this.tapOf(this.machine.addTap(place, request, fd), fd, request);
  }

  async adoptTap(namespace: Namespace, request: TapRequest): Promise<Tap | null> {
    await this.call('adoptTap', request.ifname);
    const found = [...this.placeOf(namespace).interfaces.values()].find(({ alias }) => alias === request.alias);
    if (found === undefined) return null;
    if (found.openFd !== null) throw refusal('TUNSETIFF', found.ifname, 'EBUSY');
    const fd = this.open(`tap ${found.ifname}`);
    const { mac, mtu, addresses, routes } = request;
    Object.assign(found, { mac, mtu, addresses, routes, openFd: fd });
    return this.tapOf(found, fd, request);
  }

  setGroupInterface(tap: Tap, ifname: string | null): void {
    this.calls.push(`setGroupInterface ${tap.request.ifname} ${ifname}`);
  }

  async updateTap(_namespace: Namespace, tap: Tap, request: TapRequest): Promise<void> {
    await this.call('updateTap', request.ifname);
    const { mtu, addresses, routes } = request;
    Object.assign(this.interfaceOf(tap), { mtu, addresses, routes });
    (tap as OpenTap).request = request;
  }

  releaseTap(tap: Tap): void {
    for (const { interfaces } of this.machine.all()) {
      for (const each of interfaces.values()) if (each.openFd === tap.fd) each.openFd = null;
    }
    this.close(tap.fd);
  }

  /** A failure leaves the interface where it is, but lets go of it. */
  async removeTap(tap: Tap): Promise<void> {
    try {
      await this.call('removeTap', tap.request.ifname);
    } catch (error) {
      this.releaseTap(tap);
      throw error;
    }
    for (const { interfaces } of this.machine.all()) {
      for (const [ifname, each] of interfaces) if (each.openFd === tap.fd) interfaces.delete(ifname);
    }
    this.close(tap.fd);
  }

  async findTaps(namespace: Namespace, aliasPrefix: string): Promise<FoundTap[]> {
    await this.call('findTaps', namespace.path);
    return [...this.placeOf(namespace).interfaces.values()].filter(({ alias }) => alias.startsWith(aliasPrefix));
  }

  async removeFoundTap(namespace: Namespace, found: FoundTap): Promise<void> {
    await this.call('removeFoundTap', found.ifname);
    this.placeOf(namespace).interfaces.delete(found.ifname);
  }

  async interfaceNames(namespace: Namespace): Promise<string[]> {
    await this.call('interfaceNames', namespace.path);
    return ['lo', ...this.placeOf(namespace).interfaces.keys()];
  }

  async hostRoutes(): Promise<{ destination: string; device: string }[]> {
    await this.call('hostRoutes', '');
    return this.machine.hostRoutes;
  }

  async setRouting(namespace: Namespace, request: RoutingRequest): Promise<string[]> {
    await this.call('setRouting', namespace.path);
    const place = this.placeOf(namespace);
    const changed = place.routing === null ? ['net.ipv4.ip_forward'] : [];
    place.routing = request;
    return changed;
  }

  async renewProxies(namespace: Namespace): Promise<void> {
    await this.call('renewProxies', namespace.path);
  }

  async clearRouting(namespace: Namespace): Promise<void> {
    await this.call('clearRouting', namespace.path);
    this.placeOf(namespace).routing = null;
  }

  async routedNamespaces(): Promise<string[]> {
    await this.call('routedNamespaces', '');
    const { host, namespaces } = this.machine;
    const all: [string, FakeNamespace][] = [['/proc/self/ns/net', host], ...namespaces];
    return all.filter(([, { routing }]) => routing !== null).map(([path]) => path);
  }

  async vxlanInterfaces(namespace: Namespace): Promise<FoundVxlan[]> {
    await this.call('vxlanInterfaces', namespace.path);
    return [];
  }

  async droppingChains(namespace: Namespace): Promise<string[]> {
    await this.call('droppingChains', namespace.path);
    return this.placeOf(namespace).droppingChains;
  }

  async routes(namespace: Namespace): Promise<FoundRoute[]> {
    await this.call('routes', namespace.path);
    return this.placeOf(namespace).foreignRoutes;
  }

  async localPorts(namespace: Namespace): Promise<{ first: number; last: number }> {
    await this.call('localPorts', namespace.path);
    return { first: 32768, last: 60999 };
  }

  async listeners(namespace: Namespace, protocol: 'tcp' | 'udp'): Promise<FoundListener[]> {
    await this.call('listeners', `${namespace.path} ${protocol}`);
    return this.placeOf(namespace).listeners.filter((each) => each.protocol === protocol);
  }

  async socketOwner(inode: number): Promise<SocketOwner | null> {
    await this.call('socketOwner', `${inode}`);
    return this.machine.socketOwners.get(inode) ?? null;
  }

  async findInterface(namespace: Namespace, ifname: string): Promise<FoundLink | null> {
    await this.call('findInterface', ifname);
    const found = this.placeOf(namespace).interfaces.get(ifname);
    if (found === undefined) return null;
    const { index, mac, mtu, addresses } = found;
    return { ifname, index, mac, mtu, up: true, addresses };
  }

  private async call(method: keyof Kernel, subject: string): Promise<void> {
    this.calls.push(`${method} ${subject}`.trim());
    // Real calls let other work in between; so do these.
    await new Promise((resolve) => setImmediate(resolve));
    const errno = this.failures.get(method);
    this.failures.delete(method);
    if (errno !== undefined) throw refusal(method, subject, errno);
    if (--this.callsUntilFailure === 0) throw refusal(method, subject, this.failure);
  }

  private openAt(path: string): Namespace {
    const isHost = path === '/proc/self/ns/net' || path === '/proc/1/ns/net';
    const found = isHost ? this.machine.host : this.machine.namespaces.get(path);
    if (found === undefined) throw refusal('open', path, 'ENOENT');
    return { fd: this.open(`namespace ${path}`), path, device: found.device, inode: found.inode };
  }

  private placeOf(namespace: Namespace): FakeNamespace {
    if (!this.fds.has(namespace.fd)) this.faults.push(`use of ${namespace.path} after it was closed`);
    const place = this.machine.all().find(({ inode }) => inode === namespace.inode);
    // A namespace that nothing names any more lives on as long as it is open.
    return (
      place ?? {
        device: namespace.device,
        inode: namespace.inode,
        interfaces: new Map(),
        routing: null,
        foreignRoutes: [],
        droppingChains: [],
        listeners: [],
      }
    );
  }

  private interfaceOf(tap: Tap): FakeInterface {
    for (const { interfaces } of this.machine.all()) {
      for (const each of interfaces.values()) if (each.openFd === tap.fd) return each;
    }
    throw refusal('TUNGETIFF', tap.request.ifname, 'EBADFD');
  }

  private tapOf(device: FakeInterface, fd: number, request: TapRequest): OpenTap {
    const currentName = () => (this.fds.has(fd) ? device.ifname : null);
    return { fd, portKind: PORT_TAP, request, headerBytes: 12, accepts: request.offload ? 0x2f : 0, currentName };
  }

  private open(what: string): number {
    this.fds.set(++this.nextFd, what);
    return this.nextFd;
  }

  private close(fd: number): void {
    if (this.isPolled(fd)) this.faults.push(`${this.fds.get(fd)} closed while the datapath polls it`);
    if (!this.fds.delete(fd)) this.faults.push(`file descriptor ${fd} closed twice`);
  }
}

function refusal(call: string, subject: string, errno: string): KernelError {
  return new KernelError(call, subject, errno, 'as the test wants it');
}
