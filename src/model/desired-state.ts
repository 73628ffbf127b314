/**
 * The desired state: every network, compartment and endpoint that users asked for, and the rules between them.
 *
 * Knows nothing of the kernel, of files or of time, so that a whole lab file can be tried out on a copy before anything
 * happens. Every change either throws a `RequestError` and has changed nothing, or returns how to take it back.
 *
 * Invariants: an endpoint's network exists; its compartment exists or is null; names, addresses and MACs of a network and
 * interface names of a compartment have one owner.
 */
import { checkNetworkFits, checkPortsFit, type Limits } from './capacity.js';
import type { CompartmentSpec } from './compartment.js';
import { failExists, failInterface, failMissing, failRemote } from './desired-refusals.js';
import type { EndpointSpec } from './endpoint.js';
import type { EndpointWish } from './endpoint-request.js';
import { assignMac } from './mac-assignment.js';
import { firstFreeIfname } from './names.js';
import type { NetworkSpec } from './network.js';
import { GATEWAY_OWNER, giveHostAddresses, HOST_OWNER, NetworkAddresses } from './network-addresses.js';
import { hasGateway, hasHostVnic, hasOwnGateway, hasUplink } from './network-kind.js';
import { checkExternal, checkPublished } from './outside.js';
import { anycastMac, checkOverlay } from './overlay-rules.js';
import { RequestError } from './problems.js';
import { PublishedIndex } from './published-index.js';
import { checkRemote } from './remote-endpoint.js';
import { checkSubnets } from './subnet-overlap.js';

export interface NetworkRecord {
  id: string;
  spec: NetworkSpec;
  /** MAC of the host vNIC; null for a network without one. */
  hostMac: string | null;
  /** Bare addresses of the host vNIC: the gateways of an internal network, addresses like those of endpoints on an overlay. */
  hostAddresses: string[];
  /** MACs of the router inside and on the segment of the uplink; null where there is no router, or no uplink. */
  gatewayMac: string | null;
  uplinkMac: string | null;
  /** MAC of the router that no other host has; null unless an overlay network has a router. */
  ownRouterMac: string | null;
  /** CIDRs between the machine and weft on an uplink of kind `host`, chosen when it was first made and kept since. */
  transit: string[];
  addresses: NetworkAddresses;
  /** Names. */
  endpoints: Set<string>;
  /** Who uses which MAC on this network, static ones too. */
  macs: Map<string, string>;
}

/** (device, inode) of a namespace. */
export interface NamespaceIdentity {
  device: number;
  inode: number;
}

export interface CompartmentRecord {
  id: string;
  spec: CompartmentSpec;
  /** Which namespace it was; null until it was opened. */
  identity: NamespaceIdentity | null;
  /** Names. */
  endpoints: Set<string>;
  /** Interface name to endpoint name. */
  ifnames: Map<string, string>;
}

export interface EndpointRecord {
  id: string;
  spec: EndpointSpec;
  /** Whether weft chose the interface name, and may choose another one when the endpoint moves. */
  ifnameIsAutomatic: boolean;
  /** Serial of the attachment, part of the alias of the TAP: a TAP of an older one is a leftover. */
  attachment: number;
  /** Metric of the default routes; 0 without. */
  metric: number;
}

/** Names of what `apply` made. */
export interface Applied {
  networks: Set<string>;
  compartments: Set<string>;
  endpoints: Set<string>;
  captures: Set<string>;
}

/** A change that was made, and how to take it back (in reverse order of the changes). */
export interface Change<T> {
  record: T;
  undo: () => void;
}

/** The first endpoint of a compartment; the kernel prefers it over later ones and over its own 1024 for IPv6. */
const FIRST_METRIC = 100;

export class DesiredState {
  readonly instance: string;
  readonly networks = new Map<string, NetworkRecord>();
  readonly compartments = new Map<string, CompartmentRecord>();
  readonly endpoints = new Map<string, EndpointRecord>();
  readonly applied: Applied = {
    networks: new Set(),
    compartments: new Set(),
    endpoints: new Set(),
    captures: new Set(),
  };
  /** What `apply` started captures with, by name, to start them again with the next daemon. */
  readonly captureRequests = new Map<string, object>();
  /** Serial of the last attachment. */
  attachments = 0;
  /** Up to this number, event numbers may have been used. */
  eventsReserved = 0;
  private readonly limits: Limits;
  private readonly published = new PublishedIndex();
  /** Endpoints of other hosts, which have no port. */
  private remotes = 0;

  constructor(instance: string, limits: Limits) {
    this.instance = instance;
    this.limits = limits;
  }

  network(name: string): NetworkRecord {
    return this.networks.get(name) ?? failMissing('network', name);
  }

  compartment(name: string): CompartmentRecord {
    return this.compartments.get(name) ?? failMissing('compartment', name);
  }

  endpoint(name: string): EndpointRecord {
    return this.endpoints.get(name) ?? failMissing('endpoint', name);
  }

  /** `hostAddresses`: what the host vNIC of an overlay network had before, if it may be weft's choice. */
  addNetwork(spec: NetworkSpec, id: string, hostAddresses: readonly string[] = []): Change<NetworkRecord> {
    if (this.networks.has(spec.name)) failExists('network', spec.name);
    checkNetworkFits(this.limits, spec, this.networkSpecs());
    checkPortsFit(this.limits, this.endpoints.size - this.remotes, [spec, ...this.networkSpecs()]);
    checkSubnets(spec, this.networkSpecs());
    checkExternal(spec, this.networkSpecs());
    checkOverlay(spec, this.networkSpecs());
    const addresses = new NetworkAddresses(spec);
    const mac = (what: string) => assignMac(this.instance, `${what} ${spec.name}`, () => false);
    const record: NetworkRecord = {
      id,
      spec,
      hostMac: hasHostVnic(spec) ? mac('host') : null,
      hostAddresses: giveHostAddresses(spec, addresses, hostAddresses),
      gatewayMac: this.gatewayMacOf(spec),
      uplinkMac: hasUplink(spec) ? mac('uplink') : null,
      ownRouterMac: spec.overlay !== null && hasOwnGateway(spec) ? mac('router') : null,
      transit: [],
      addresses,
      endpoints: new Set<string>(),
      macs: new Map<string, string>(),
    };
    if (record.hostMac !== null) record.macs.set(record.hostMac, HOST_OWNER);
    for (const own of [record.gatewayMac, record.ownRouterMac]) if (own !== null) record.macs.set(own, GATEWAY_OWNER);
    this.networks.set(spec.name, record);
    return { record, undo: () => this.networks.delete(spec.name) };
  }

  /** Changes what can change of a living network; the caller has checked that it is only that. */
  changeNetwork(name: string, spec: NetworkSpec): Change<NetworkRecord> {
    const record = this.network(name);
    const former = record.spec;
    checkExternal(spec, this.networkSpecs());
    checkSubnets(spec, this.networkSpecs());
    const set = (next: NetworkSpec) => {
      record.spec = next;
      record.addresses.setRules(next);
    };
    set(spec);
    return { record, undo: () => set(former) };
  }

  /**
   * Throws unless every network that this one has routes to is there and has a gateway. Not a rule of the state itself: a
   * network may go while others name it, and its routes are back when it is.
   */
  checkRoutesTo(spec: NetworkSpec): void {
    for (const name of spec.routesTo) {
      const other = this.network(name).spec;
      if (hasGateway(other)) continue;
      const what = other.overlay === null ? 'a private network' : 'an overlay network';
      const message = `network ${spec.name} cannot have routes to ${name}, ${what} without a gateway`;
      throw new RequestError(
        'conflict',
        message,
        'name networks of type internal, nat, or overlay with subnets in routesTo',
      );
    }
  }

  /** The network must be without endpoints. */
  removeNetwork(name: string): Change<NetworkRecord> {
    const record = this.network(name);
    const wasApplied = this.applied.networks.delete(name);
    this.networks.delete(name);
    const undo = () => {
      this.networks.set(name, record);
      if (wasApplied) this.applied.networks.add(name);
    };
    return { record, undo };
  }

  addCompartment(spec: CompartmentSpec, id: string): Change<CompartmentRecord> {
    if (this.compartments.has(spec.name)) failExists('compartment', spec.name);
    const record: CompartmentRecord = { id, spec, identity: null, endpoints: new Set(), ifnames: new Map() };
    this.compartments.set(spec.name, record);
    return { record, undo: () => this.compartments.delete(spec.name) };
  }

  /** The compartment must be without endpoints. */
  removeCompartment(name: string): Change<CompartmentRecord> {
    const record = this.compartment(name);
    const wasApplied = this.applied.compartments.delete(name);
    this.compartments.delete(name);
    const undo = () => {
      this.compartments.set(name, record);
      if (wasApplied) this.applied.compartments.add(name);
    };
    return { record, undo };
  }

  /**
   * Adds an endpoint that is detached: `attach` puts it into the compartment that it asked for. `ifname`: what weft should
   * call its interface if it may choose and the name is free.
   */
  addEndpoint(wish: EndpointWish, id: string, ifname = 'eth0'): Change<EndpointRecord> {
    if (this.endpoints.has(wish.name)) failExists('endpoint', wish.name);
    const network = this.network(wish.network);
    if (wish.compartment !== null) this.compartment(wish.compartment);
    if (wish.vtep === null) this.checkPortFits();
    else checkRemote(wish, network.spec);
    this.checkPublished(wish, network);
    const mac =
      wish.mac ?? assignMac(this.instance, `endpoint ${wish.name}`, (candidate) => network.macs.has(candidate));
    for (const used of [mac, ...wish.staticMacs]) this.checkMac(network, used, wish.name);
    const cursors = network.addresses.cursors();
    const ip = this.takeAddresses(wish, network);
    const spec: EndpointSpec = { ...wish, compartment: null, ifname: wish.ifname ?? ifname, mac, ip };
    const record: EndpointRecord = { id, spec, ifnameIsAutomatic: wish.ifname === null, attachment: 0, metric: 0 };
    this.enter(record);
    const undo = () => {
      this.leave(record);
      network.addresses.setCursors(cursors);
    };
    return { record, undo };
  }

  /** Changes what can change of a living endpoint; the caller has checked that it is only that. */
  changeEndpoint(name: string, spec: EndpointSpec): Change<EndpointRecord> {
    const record = this.endpoint(name);
    const former = record.spec;
    const network = this.network(former.network);
    if (spec.vtep !== null) checkRemote(spec, network.spec);
    this.checkPublished(spec, network);
    for (const mac of spec.staticMacs) this.checkMac(network, mac, name);
    const set = (next: EndpointSpec) => {
      for (const mac of [record.spec.mac, ...record.spec.staticMacs]) network.macs.delete(mac);
      record.spec = next;
      for (const mac of [next.mac, ...next.staticMacs]) network.macs.set(mac, name);
      this.published.remove(name);
      this.published.add({ endpoint: next, network: network.spec });
    };
    set(spec);
    return { record, undo: () => set(former) };
  }

  /** The endpoint must be detached. Its addresses are free from now on. */
  removeEndpoint(name: string): Change<EndpointRecord> {
    const record = this.endpoint(name);
    const wasApplied = this.applied.endpoints.delete(name);
    this.leave(record);
    const undo = () => {
      this.enter(record);
      this.network(record.spec.network).addresses.restore(name, record.spec.ip);
      if (wasApplied) this.applied.endpoints.add(name);
    };
    return { record, undo };
  }

  /**
   * Puts an endpoint into a compartment, also from another one. `isForeign` tells interfaces that are there already and
   * that weft did not make. Throws conflict when the interface name is taken and was not weft's choice.
   */
  attach(name: string, compartmentName: string, isForeign: (ifname: string) => boolean): Change<EndpointRecord> {
    const record = this.endpoint(name);
    const target = this.compartment(compartmentName);
    if (record.spec.vtep !== null) failRemote(record.spec);
    const isTaken = (ifname: string) => (target.ifnames.get(ifname) ?? name) !== name || isForeign(ifname);
    let ifname = record.spec.ifname;
    if (isTaken(ifname)) {
      if (!record.ifnameIsAutomatic) failInterface(compartmentName, ifname, target.ifnames.get(ifname));
      ifname = firstFreeIfname(isTaken);
    }
    const metric = record.spec.defaultRoute ? this.metricIn(target, record) : 0;
    this.attachments++;
    return this.place(record, compartmentName, ifname, this.attachments, metric);
  }

  detach(name: string): Change<EndpointRecord> {
    const record = this.endpoint(name);
    return this.place(record, null, record.spec.ifname, record.attachment, 0);
  }

  /** Alias of the TAP of an endpoint, by which it is found again. */
  aliasOf(record: EndpointRecord): string {
    return `${this.aliasPrefix}${record.id}.${record.attachment}`;
  }

  aliasOfHost(record: NetworkRecord): string {
    return `${this.aliasPrefix}host.${record.id}`;
  }

  aliasOfUplink(record: NetworkRecord): string {
    return `${this.aliasPrefix}uplink.${record.id}`;
  }

  get aliasPrefix(): string {
    return `weft:${this.instance}:`;
  }

  /** For loading: enters an endpoint with everything it had. Throws when that contradicts what is there already. */
  adopt(record: EndpointRecord): void {
    const { spec } = record;
    if (this.endpoints.has(spec.name)) failExists('endpoint', spec.name);
    const network = this.network(spec.network);
    const compartment = spec.compartment === null ? null : this.compartment(spec.compartment);
    if (compartment?.ifnames.has(spec.ifname)) {
      failInterface(compartment.spec.name, spec.ifname, compartment.ifnames.get(spec.ifname));
    }
    for (const mac of [spec.mac, ...spec.staticMacs]) this.checkMac(network, mac, spec.name);
    this.checkPublished(spec, network);
    const cursors = network.addresses.cursors();
    if (spec.vtep !== null) checkRemote(spec, network.spec);
    const ip = this.takeAddresses(spec, network);
    network.addresses.setCursors(cursors);
    record.spec = { ...spec, compartment: null, ip };
    this.enter(record);
    this.place(record, spec.compartment, spec.ifname, record.attachment, record.metric);
  }

  /** A remote station has what was said, an endpoint one address of every subnet. */
  private takeAddresses({ name, vtep, ip }: Pick<EndpointSpec, 'name' | 'vtep' | 'ip'>, network: NetworkRecord) {
    return vtep === null ? network.addresses.assign(name, ip) : network.addresses.claim(name, ip);
  }

  private gatewayMacOf(spec: NetworkSpec): string | null {
    if (!hasOwnGateway(spec)) return null;
    if (spec.overlay !== null) return anycastMac(spec.overlay.vni);
    return assignMac(this.instance, `gateway ${spec.name}`, () => false);
  }

  private enter(record: EndpointRecord): void {
    const { name, mac, staticMacs } = record.spec;
    const network = this.network(record.spec.network);
    this.endpoints.set(name, record);
    if (record.spec.vtep !== null) this.remotes++;
    network.endpoints.add(name);
    for (const used of [mac, ...staticMacs]) network.macs.set(used, name);
    this.published.add({ endpoint: record.spec, network: network.spec });
  }

  private leave(record: EndpointRecord): void {
    const { name, mac, staticMacs, ip } = record.spec;
    const network = this.network(record.spec.network);
    this.endpoints.delete(name);
    if (record.spec.vtep !== null) this.remotes--;
    network.endpoints.delete(name);
    for (const used of [mac, ...staticMacs]) network.macs.delete(used);
    network.addresses.releaseTexts(ip);
    this.published.remove(name);
  }

  private place(
    record: EndpointRecord,
    compartment: string | null,
    ifname: string,
    attachment: number,
    metric: number,
  ): Change<EndpointRecord> {
    const former = { ...record };
    const move = (to: Pick<EndpointRecord, 'spec' | 'attachment' | 'metric'>) => {
      const left = record.spec.compartment === null ? undefined : this.compartments.get(record.spec.compartment);
      left?.endpoints.delete(record.spec.name);
      left?.ifnames.delete(record.spec.ifname);
      Object.assign(record, { spec: to.spec, attachment: to.attachment, metric: to.metric });
      if (to.spec.compartment === null) return;
      const entered = this.compartment(to.spec.compartment);
      entered.endpoints.add(to.spec.name);
      entered.ifnames.set(to.spec.ifname, to.spec.name);
    };
    move({ spec: { ...record.spec, compartment, ifname }, attachment, metric });
    return { record, undo: () => move(former) };
  }

  /** Whoever came first keeps the lowest metric, also when its interface has to be made anew. */
  private metricIn(compartment: CompartmentRecord, record: EndpointRecord): number {
    const { name } = record.spec;
    if (record.spec.compartment === compartment.spec.name && record.metric > 0) return record.metric;
    let metric = FIRST_METRIC;
    for (const other of compartment.endpoints) {
      if (other !== name) metric = Math.max(metric, (this.endpoints.get(other)?.metric ?? 0) + 1);
    }
    return metric;
  }

  private checkMac(network: NetworkRecord, mac: string, endpoint: string): void {
    const owner = network.macs.get(mac);
    if (owner === undefined || owner === endpoint) return;
    const isOfWeft = owner === HOST_OWNER || owner === GATEWAY_OWNER;
    const whose = owner === HOST_OWNER ? 'the host vNIC' : isOfWeft ? owner : `endpoint ${owner}`;
    const message = `MAC ${mac} is used by ${whose} on network ${network.spec.name}`;
    throw new RequestError('conflict', message, 'choose another MAC, or leave mac out and weft chooses one');
  }

  private *networkSpecs(): Iterable<NetworkSpec> {
    for (const { spec } of this.networks.values()) yield spec;
  }

  private checkPortFits(): void {
    checkPortsFit(this.limits, this.endpoints.size - this.remotes + 1, this.networkSpecs());
  }

  private checkPublished(endpoint: Pick<EndpointSpec, 'name' | 'publish'>, { spec: network }: NetworkRecord): void {
    if (endpoint.publish.length > 0) checkPublished(endpoint, network, this.published.near({ endpoint, network }));
  }
}
