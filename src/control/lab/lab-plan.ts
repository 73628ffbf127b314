/**
 * From a lab file and the present state to the steps between them, and the proof that they can be taken: every step is
 * rehearsed on a copy of the state before the first one happens for real.
 *
 * What the file leaves open (an address, a MAC, an interface name) is right as it is. What cannot change in place is
 * replaced: deleted and created again, keeping what the file leaves open. Everything is taken down before anything is
 * built, so that objects can swap names and addresses.
 */
import type { CompartmentSpec } from '../../model/compartment.js';
import { isOwned, pathOfCompartment } from '../../model/compartment-request.js';
import type { DesiredState } from '../../model/desired-state.js';
import type { EndpointSpec } from '../../model/endpoint.js';
import type { EndpointWish } from '../../model/endpoint-request.js';
import type { NetworkSpec } from '../../model/network.js';
import { RequestError } from '../../model/problems.js';
import type { CaptureRequest, CaptureView } from '../controller/captures.js';
import type { PlanStep } from '../controller/lab-objects.js';
import {
  CHANGEABLE,
  captureDifference,
  compartmentDifference,
  endpointDifference,
  networkDifference,
} from './lab-difference.js';
import type { ParsedLab } from './lab-parse.js';

export type Operation =
  | { kind: 'stop-capture'; name: string }
  | { kind: 'delete-endpoint'; name: string }
  | { kind: 'detach-endpoint'; name: string }
  | { kind: 'delete-compartment'; name: string }
  | { kind: 'delete-network'; name: string }
  | { kind: 'create-network'; name: string; spec: NetworkSpec }
  | { kind: 'change-network'; name: string; spec: NetworkSpec }
  | { kind: 'create-compartment'; name: string; spec: CompartmentSpec }
  /** `ifname`: what the rehearsal called the interface. */
  | { kind: 'create-endpoint'; name: string; wish: EndpointWish; ifname?: string }
  | { kind: 'attach-endpoint'; name: string; compartment: string }
  | { kind: 'change-endpoint'; name: string; changes: Partial<Pick<EndpointSpec, (typeof CHANGEABLE)[number]>> }
  | { kind: 'start-capture'; name: string; request: CaptureRequest };

/** What the state alone does not tell. */
export interface Facts {
  /** Compartments whose namespace is gone. */
  isGone(compartment: string): boolean;
  isDegraded(endpoint: string): boolean;
  captures: readonly CaptureView[];
}

export interface LabPlan {
  steps: PlanStep[];
  /** In the order in which they are done. */
  operations: Operation[];
}

/** Throws `RequestError` conflict when the file would take away what something outside of it stands on. */
export function planLab(state: DesiredState, lab: ParsedLab, facts: Facts): LabPlan {
  const planner = new Planner(state, lab, facts);
  planner.planCaptureEnds();
  planner.planNetworks();
  planner.planCompartments();
  planner.planEndpoints();
  planner.planCaptureStarts();
  planner.checkBystanders();
  return { steps: planner.steps, operations: planner.operations() };
}

function placeOf({ vtep, compartment }: EndpointWish): string {
  if (vtep !== null) return `behind VTEP ${vtep}`;
  return compartment === null ? 'detached' : `in ${compartment}`;
}

const GONE_FROM_FILE = 'the file does not name it any more';

class Planner {
  readonly steps: PlanStep[] = [];
  readonly build: Operation[] = [];
  /** What living endpoints give up for others. */
  private readonly freed: Operation[] = [];
  private readonly state: DesiredState;
  private readonly lab: ParsedLab;
  private readonly facts: Facts;
  private readonly stoppedCaptures = new Set<string>();
  /** Deleted for good or to be created again. */
  private readonly lostNetworks = new Set<string>();
  private readonly lostCompartments = new Set<string>();
  private readonly lostEndpoints = new Set<string>();
  private readonly detached = new Set<string>();

  constructor(state: DesiredState, lab: ParsedLab, facts: Facts) {
    this.state = state;
    this.lab = lab;
    this.facts = facts;
  }

  planCaptureEnds(): void {
    for (const { name } of this.facts.captures) {
      if (!this.state.applied.captures.has(name) || this.lab.captures.has(name)) continue;
      this.stoppedCaptures.add(name);
      this.step('delete', 'capture', name, GONE_FROM_FILE);
    }
  }

  planNetworks(): void {
    for (const name of this.state.applied.networks) {
      if (this.lab.networks.has(name) || !this.state.networks.has(name)) continue;
      this.lostNetworks.add(name);
      this.step('delete', 'network', name, GONE_FROM_FILE);
    }
    for (const [name, spec] of this.lab.networks) {
      const current = this.state.networks.get(name)?.spec;
      const difference = current === undefined ? null : networkDifference(current, spec);
      if (difference?.kind === 'none') continue;
      if (difference?.kind === 'change') {
        this.build.push({ kind: 'change-network', name, spec });
        this.step('update', 'network', name, difference.detail);
        continue;
      }
      if (difference !== null) this.lostNetworks.add(name);
      this.build.push({ kind: 'create-network', name, spec });
      const subnets = spec.subnets.length === 0 ? '' : `, ${spec.subnets.join(', ')}`;
      this.step(difference === null ? 'create' : 'replace', 'network', name, difference?.detail ?? spec.type + subnets);
    }
  }

  planCompartments(): void {
    for (const name of this.state.applied.compartments) {
      if (this.lab.compartments.has(name) || !this.state.compartments.has(name)) continue;
      this.lostCompartments.add(name);
      this.step('delete', 'compartment', name, GONE_FROM_FILE);
    }
    for (const [name, spec] of this.lab.compartments) {
      const current = this.state.compartments.get(name)?.spec;
      const difference = current === undefined ? 'new' : compartmentDifference(current, spec, this.facts.isGone(name));
      if (difference === null) continue;
      if (current !== undefined) this.lostCompartments.add(name);
      this.build.push({ kind: 'create-compartment', name, spec });
      const kind = spec.pid !== null ? `process ${spec.pid}` : (spec.netns ?? 'own namespace');
      if (current === undefined) this.step('create', 'compartment', name, kind);
      else this.step('replace', 'compartment', name, difference);
    }
  }

  planEndpoints(): void {
    for (const name of this.state.applied.endpoints) {
      if (this.lab.endpoints.has(name) || !this.state.endpoints.has(name)) continue;
      this.lostEndpoints.add(name);
      this.step('delete', 'endpoint', name, GONE_FROM_FILE);
    }
    for (const [name, wish] of this.lab.endpoints) this.planEndpoint(name, wish);
    this.reattachBystanders();
  }

  private planEndpoint(name: string, wish: EndpointWish): void {
    const record = this.state.endpoints.get(name);
    if (record === undefined) {
      this.build.push({ kind: 'create-endpoint', name, wish });
      const where = placeOf(wish);
      this.step('create', 'endpoint', name, `on ${wish.network}, ${where}`);
      return;
    }
    const { spec } = record;
    const isUprooted = this.lostNetworks.has(spec.network);
    const difference = endpointDifference(spec, wish, isUprooted);
    if (difference.mustReplace) {
      this.lostEndpoints.add(name);
      this.build.push({ kind: 'create-endpoint', name, wish: this.keepOpen(spec, wish) });
      this.step('replace', 'endpoint', name, difference.detail);
      return;
    }
    if (difference.detail !== '') {
      const changes = Object.fromEntries(CHANGEABLE.map((field) => [field, wish[field]]));
      // Ports are given up before anybody takes them.
      const kept = spec.publish.filter((port) => wish.publish.includes(port));
      if (kept.length < spec.publish.length)
        this.freed.push({ kind: 'change-endpoint', name, changes: { publish: kept } });
      this.build.push({ kind: 'change-endpoint', name, changes });
      this.step('update', 'endpoint', name, difference.detail);
    }
    this.planPlace(name, spec, wish.compartment);
  }

  private planPlace(name: string, spec: EndpointSpec, compartment: string | null): void {
    if (compartment === null) {
      if (spec.compartment === null) return;
      this.detached.add(name);
      this.step('update', 'endpoint', name, `detach from ${spec.compartment}`);
      return;
    }
    const isUprooted = this.lostCompartments.has(compartment);
    if (spec.compartment === compartment && !isUprooted && !this.facts.isDegraded(name)) return;
    if (spec.compartment !== null && this.lostCompartments.has(spec.compartment)) this.detached.add(name);
    this.build.push({ kind: 'attach-endpoint', name, compartment });
    const detail = spec.compartment === compartment ? `attach to ${compartment} again` : `attach to ${compartment}`;
    this.step('update', 'endpoint', name, detail);
  }

  /** Endpoints that were made by hand come back into a compartment that is replaced. */
  private reattachBystanders(): void {
    for (const compartment of this.lostCompartments) {
      for (const name of this.state.compartments.get(compartment)?.endpoints ?? []) {
        if (this.lab.endpoints.has(name) || this.lostEndpoints.has(name)) continue;
        this.detached.add(name);
        if (!this.lab.compartments.has(compartment)) continue;
        this.build.push({ kind: 'attach-endpoint', name, compartment });
        this.step('update', 'endpoint', name, `attach to ${compartment} again`);
      }
    }
  }

  /** What the file leaves open stays what it was, where nobody else in the file claims it. */
  private keepOpen(spec: EndpointSpec, wish: EndpointWish): EndpointWish {
    const claimed = new Set([...this.lab.endpoints.values()].flatMap((other) => other.ip));
    const staysThere = spec.network === wish.network;
    const ip = staysThere
      ? [...wish.ip, ...this.keptAddresses(spec, wish).filter((each) => !claimed.has(each))]
      : wish.ip;
    return { ...wish, mac: wish.mac ?? spec.mac, ip };
  }

  private keptAddresses(spec: EndpointSpec, wish: EndpointWish): string[] {
    const former = this.state.network(spec.network).addresses;
    const next = this.lab.networks.get(wish.network) ?? this.state.network(spec.network).spec;
    // A subnet that the network keeps, and of which the file names no address.
    const kept = former.pools
      .filter(({ subnet }) => next.subnets.includes(subnet.text))
      .map(({ subnet }) => subnet.text);
    const named = new Set(wish.ip.map((address) => former.subnetOf(address)));
    return spec.ip.filter((address) => {
      const subnet = former.subnetOf(address);
      return subnet !== null && kept.includes(subnet) && !named.has(subnet) && !next.gateway.includes(address);
    });
  }

  planCaptureStarts(): void {
    for (const [name, request] of this.lab.captures) {
      const current = this.facts.captures.find((capture) => capture.name === name);
      const difference = current === undefined ? null : captureDifference(current, request);
      if (difference === '') continue;
      if (current !== undefined) this.stoppedCaptures.add(name);
      this.build.push({ kind: 'start-capture', name, request });
      this.step(current === undefined ? 'create' : 'replace', 'capture', name, difference ?? `into ${request.file}`);
    }
  }

  /** What was made by hand and is not in the file must not lose what it stands on. */
  checkBystanders(): void {
    for (const network of this.lostNetworks) {
      for (const name of this.state.networks.get(network)?.endpoints ?? []) {
        if (this.lostEndpoints.has(name)) continue;
        const message = `network ${network} would have to go, but endpoint ${name} is on it and not in the file`;
        throw new RequestError('conflict', message, `delete endpoint ${name} first, or name it in the file`);
      }
    }
    for (const compartment of this.lostCompartments) {
      if (this.lab.compartments.has(compartment)) continue;
      for (const name of this.state.compartments.get(compartment)?.endpoints ?? []) {
        if (this.lostEndpoints.has(name) || this.lab.endpoints.has(name)) continue;
        const message = `compartment ${compartment} would have to go, but endpoint ${name} is in it and not in the file`;
        throw new RequestError('conflict', message, `detach endpoint ${name} first, or name it in the file`);
      }
    }
    this.checkAdopted();
  }

  /** A namespace that weft made goes with its compartment, once all is done: nobody can adopt it in the same breath. */
  private checkAdopted(): void {
    for (const operation of this.build) {
      if (operation.kind !== 'create-compartment') continue;
      const { name, netns } = operation.spec;
      for (const lost of this.lostCompartments) {
        const former = this.state.compartment(lost).spec;
        if (!isOwned(former) || pathOfCompartment(former) !== netns || this.facts.isGone(lost)) continue;
        const message = `compartment ${name} cannot adopt ${netns}: weft made it, and removes it with compartment ${lost}`;
        const remedy = lost === name ? 'leave netns out' : `let compartment ${lost} be in the file instead`;
        throw new RequestError('conflict', message, remedy);
      }
    }
  }

  /** A capture that was stopped cannot be taken up again, so captures come last, when nothing else can fail any more. */
  operations(): Operation[] {
    const each = <K extends Operation['kind']>(kind: K, names: Set<string>) =>
      [...names].map((name) => ({ kind, name }));
    const starts = this.build.filter(({ kind }) => kind === 'start-capture');
    return [
      ...each('delete-endpoint', this.lostEndpoints),
      ...each('detach-endpoint', this.detached),
      ...each('delete-compartment', this.lostCompartments),
      ...each('delete-network', this.lostNetworks),
      ...this.freed,
      ...this.build.filter(({ kind }) => kind !== 'start-capture'),
      ...each('stop-capture', this.stoppedCaptures),
      ...starts,
    ] as Operation[];
  }

  private step(action: PlanStep['action'], object: PlanStep['object'], name: string, detail: string): void {
    this.steps.push({ action, object, name, detail });
  }
}
