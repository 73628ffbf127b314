/**
 * A machine without a kernel: namespaces with interfaces that outlive the daemon which made them. Tests share one between
 * several runs of a daemon (fake-kernel.ts), and do to it what other programs do: delete namespaces, move interfaces.
 */
import type {
  FoundListener,
  FoundRoute,
  RouteRequest,
  RoutingRequest,
  SocketOwner,
  TapRequest,
} from '../../src/control/kernel/kernel.js';

export interface FakeInterface {
  ifname: string;
  alias: string;
  index: number;
  mac: string;
  mtu: number;
  addresses: string[];
  routes: RouteRequest[];
  /** File descriptor of the daemon that has it open; null when none has. */
  openFd: number | null;
}

export interface FakeNamespace {
  device: number;
  inode: number;
  interfaces: Map<string, FakeInterface>;
  /** What weft has it do for its uplinks. */
  routing: RoutingRequest | null;
  /** Routes over interfaces that are not weft's. */
  foreignRoutes: FoundRoute[];
  /** Firewalls that drop what is forwarded. */
  droppingChains: string[];
  /** Sockets of programs. */
  listeners: (FoundListener & { protocol: 'tcp' | 'udp' })[];
}

export class FakeMachine {
  readonly host: FakeNamespace;
  /** By path. */
  readonly namespaces = new Map<string, FakeNamespace>();
  /** Names of namespaces that weft made. */
  readonly markers = new Set<string>();
  readonly hostRoutes: { destination: string; device: string }[] = [];
  /** Programs, by the inode of a socket that they have open. */
  readonly socketOwners = new Map<number, SocketOwner>();
  /** Namespaces without a name, by the descriptor that holds them; they end with the daemon. */
  readonly nameless = new Map<number, FakeNamespace>();
  private serial = 100;
  private readonly endListeners = new Set<(namespace: FakeNamespace) => void>();

  constructor() {
    this.host = this.makeNamespace();
  }

  /** A namespace that somebody else made. */
  addNamespace(path: string): FakeNamespace {
    const namespace = this.makeNamespace();
    this.namespaces.set(path, namespace);
    return namespace;
  }

  addNameless(fd: number): FakeNamespace {
    const namespace = this.makeNamespace();
    this.nameless.set(fd, namespace);
    return namespace;
  }

  /** An interface that somebody else made. */
  addInterface(namespace: FakeNamespace, ifname: string): FakeInterface {
    const added = {
      ifname,
      alias: '',
      index: ++this.serial,
      mac: '',
      mtu: 1500,
      addresses: [] as string[],
      routes: [],
      openFd: null,
    };
    namespace.interfaces.set(ifname, added);
    return added;
  }

  addTap(namespace: FakeNamespace, request: TapRequest, openFd: number): FakeInterface {
    const { ifname, alias, mac, mtu, addresses, routes } = request;
    const tap = { ifname, alias, index: ++this.serial, mac, mtu, addresses, routes, openFd };
    namespace.interfaces.set(ifname, tap);
    return tap;
  }

  /** Somebody deletes the namespace: whoever watches it learns so. */
  endNamespace(path: string): void {
    const namespace = this.namespaces.get(path);
    if (namespace === undefined) throw new Error(`there is no ${path}`);
    this.namespaces.delete(path);
    for (const listener of [...this.endListeners]) listener(namespace);
  }

  /** Everything that does not survive a reboot goes. */
  reboot(): void {
    this.namespaces.clear();
    this.nameless.clear();
    this.markers.clear();
    this.host.interfaces.clear();
    this.host.routing = null;
  }

  onNamespaceEnd(listener: (namespace: FakeNamespace) => void): () => void {
    this.endListeners.add(listener);
    return () => this.endListeners.delete(listener);
  }

  all(): FakeNamespace[] {
    return [this.host, ...this.namespaces.values(), ...this.nameless.values()];
  }

  /** Not known to anybody yet. */
  makeNamespace(): FakeNamespace {
    return {
      device: 4,
      inode: ++this.serial,
      interfaces: new Map(),
      routing: null,
      foreignRoutes: [],
      droppingChains: [],
      listeners: [],
    };
  }
}
