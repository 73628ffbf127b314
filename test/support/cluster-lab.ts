/**
 * Hosts of a cluster over one real etcd: each a controller with a machine of its own that is not there (fake-kernel.ts), so that nothing
 * but what they tell each other is tried out.
 */
import assert from 'node:assert/strict';
import { addressWords, ipFrom } from '../../src/compile/address-rows.js';
import type { ClusterOptions } from '../../src/control/cluster/cluster-options.js';
import type { WeftEvent } from '../../src/control/controller.js';
import type { Responder } from '../../src/control/dns/responder.js';
import type { ServeDns } from '../../src/control/dns/service-sockets.js';
import { FLOOD_INTS } from '../../src/datapath/program.js';
import { type Family, formatIp } from '../../src/model/ip.js';
import { type ControlLab, makeStateDirectory, startLab } from './control-lab.js';
import { EtcdServer } from './etcd-server.js';
import { FakeMachine } from './fake-machine.js';

/** Looks, each 2 ms after the other. Counted, not timed: a machine that stands still is no fault of what is tested. */
const MOST_LOOKS = 10_000;

/** One of the cluster. */
export interface Host {
  name: string;
  lab: ControlLab;
  /** Address of its VTEP. */
  vtep: string;
  /** Who answers the stations of a network, by the address that is asked. */
  responders: Map<string, Responder>;
}

export class ClusterLab {
  readonly hosts: Host[] = [];
  private readonly urls: readonly string[];
  private readonly removals: (() => Promise<void>)[] = [];
  /** Seconds. */
  private readonly leaseSeconds: number;

  constructor(etcd: EtcdServer | readonly EtcdServer[], leaseSeconds = 2) {
    this.urls = [etcd].flat().map(({ url }) => url);
    this.leaseSeconds = leaseSeconds;
  }

  /** `number`: its VTEP is 192.0.2.NUMBER. Resolves when its daemon has started, joined or not. */
  async addHost(name: string, number: number, more: Partial<ClusterOptions> = {}): Promise<Host> {
    const { directory, remove } = await makeStateDirectory();
    this.removals.push(remove);
    const vtep = `192.0.2.${number}`;
    const machine = new FakeMachine();
    const nic = machine.addInterface(machine.host, 'nic');
    nic.addresses.push(`${vtep}/24`);
    machine.host.foreignRoutes.push({ destination: '192.0.2.0/24', gateway: null, metric: 0, device: 'nic' });
    machine.host.foreignRoutes.push({ destination: '0.0.0.0/0', gateway: '192.0.2.254', metric: 0, device: 'nic' });
    const cluster: ClusterOptions = {
      ...{ etcd: this.urls, ca: null, cert: null, key: null, user: null, password: null },
      ...{ host: name, prefix: '/weft', leaseSeconds: this.leaseSeconds, ...more },
    };
    const responders = new Map<string, Responder>();
    const serveDns: ServeDns = (_namespace, _ifname, addresses, responder) => {
      for (const address of addresses) responders.set(address, responder);
      return { close: () => {} };
    };
    const lab = await startLab(directory, machine, { cluster, overlayDefaults: { vtep }, serveDns });
    const host = { name, lab, vtep, responders };
    this.hosts.push(host);
    return host;
  }

  /** A host that etcd has heard of. */
  async join(name: string, number: number, more: Partial<ClusterOptions> = {}): Promise<Host> {
    const host = await this.addHost(name, number, more);
    await until(`${name} joins`, () => host.lab.controller.clusterView().state === 'joined');
    return host;
  }

  /** Ends every daemon and removes what they have written. */
  async close(): Promise<void> {
    for (const { lab } of this.hosts) await lab.close();
    for (const remove of this.removals) await remove();
  }
}

/** The network that two hosts share at the beginning of most tests. */
export const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/24'], overlay: { vni: 5000 } };

/** What `useTwoHosts` makes. */
export interface TwoHosts {
  etcd: EtcdServer;
  lab: ClusterLab;
  a: Host;
  b: Host;
}

/** Before each test of the present suite there are an etcd and two hosts that share OVERLAY, and after it they are gone. */
export function useTwoHosts(fill: (made: TwoHosts) => void, leaseSeconds?: number): void {
  let etcd: EtcdServer;
  let lab: ClusterLab;
  beforeEach(async () => {
    etcd = await EtcdServer.start();
    lab = new ClusterLab(etcd, leaseSeconds);
    const [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
    fill({ etcd, lab, a, b });
  });
  afterEach(async () => {
    await lab.close();
    await etcd.remove();
  });
}

/** Polls; fails with `what` when it takes too long. */
export async function until(what: string, is: () => boolean): Promise<void> {
  for (let looks = 0; !is(); looks++) {
    if (looks > MOST_LOOKS) assert.fail(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** The same for what has to be asked. */
export async function untilAsked(what: string, is: () => Promise<boolean>): Promise<void> {
  for (let looks = 0; !(await is()); looks++) {
    if (looks > MOST_LOOKS) assert.fail(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function networkNames({ lab }: Host): string[] {
  return lab.controller.listNetworks().map(({ name }) => name);
}

/** Addresses of the flood list of the only tunnel in the program of the host. */
export function floods({ lab }: Host): string[] {
  const { floods: table } = lab.datapath.program;
  const found: string[] = [];
  for (let at = 0; at < table.length; at += FLOOD_INTS) found.push(addressAt(table, at));
  return found.sort();
}

/** What the datapath of the host knows of stations behind other VTEPs: `MAC at VTEP with ADDRESS`. */
export function bindings({ lab }: Host): string[] {
  const known = new Set<string>();
  for (const row of lab.datapath.bindings) {
    const mac = macAt(row);
    const vtep = addressAt(row, 5);
    if (row[0] === 0) {
      for (const text of [...known]) if (text.startsWith(`${mac} `)) known.delete(text);
    } else {
      known.add(row[11] === 0 ? `${mac} at ${vtep}` : `${mac} at ${vtep} with ${addressAt(row, 11)}`);
    }
  }
  return [...known].sort();
}

export function eventsOf({ lab }: Host, type: string): WeftEvent[] {
  return lab.controller.eventsSince(0).filter((event) => event.type === type);
}

function macAt(row: ArrayLike<number>): string {
  const digits = row[3]!.toString(16).padStart(4, '0') + (row[4]! >>> 0).toString(16).padStart(8, '0');
  return digits.match(/../g)!.join(':');
}

function addressAt(table: ArrayLike<number>, at: number): string {
  const family = table[at] as Family;
  const words = [1, 2, 3, 4].map((n) => BigInt(table[at + n]! >>> 0));
  const value = family === 4 ? words[0]! : words.reduce((sum, word) => (sum << 32n) | word, 0n);
  const text = formatIp(family, value);
  assert.deepEqual(
    addressWords(ipFrom(text)),
    [1, 2, 3, 4].map((n) => table[at + n]),
  );
  return text;
}
