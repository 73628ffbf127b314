// What an operator can do, and what must come of it.
import type { Reply } from '../../test/support/system-daemon.js';

export interface OwnEndpoint {
  name: string;
  network: string;
  compartment: string | null;
}

/** What an operator knows and can; implemented by operator.ts. */
export interface Knowledge {
  readonly core: string;
  readonly target: string;
  /** All that exist, as far as they are its own. */
  readonly compartments: string[];
  readonly networks: string[];
  readonly endpoints: OwnEndpoint[];
  readonly captures: string[];
  readonly problems: string[];
  newName(kind: string): string;
  isMine(name: string): boolean;
  newFile(): string;
  one<T>(list: readonly T[]): T;
  chance(oneIn: number): boolean;
  ask(status: number, method: string, path: string, body?: unknown): Promise<Reply | null>;
  weft(statuses: readonly number[], ...parameters: string[]): Promise<void>;
  inside(compartment: string, command: readonly string[]): Promise<void>;
}

export interface Deed {
  name: string;
  /** How often, compared with the others. */
  weight: number;
  isPossible(me: Knowledge): boolean;
  carryOut(me: Knowledge): Promise<void>;
}

const MOST_COMPARTMENTS = 4;
const MOST_NETWORKS = 3;
const MOST_ENDPOINTS = 8;
const MOST_CAPTURES = 3;

function attached(me: Knowledge): OwnEndpoint[] {
  return me.endpoints.filter(({ compartment }) => compartment !== null);
}

function removeFrom<T>(list: T[], item: T): void {
  list.splice(list.indexOf(item), 1);
}

const compartmentDeeds: readonly Deed[] = [
  {
    ...{ name: 'create compartment', weight: 6 },
    isPossible: (me) => me.compartments.length < MOST_COMPARTMENTS,
    async carryOut(me) {
      const name = me.newName('c');
      if (await me.ask(201, 'POST', '/v1/compartments', { name })) me.compartments.push(name);
    },
  },
  {
    ...{ name: 'delete compartment', weight: 2 },
    isPossible: (me) => me.compartments.length > 0,
    async carryOut(me) {
      const name = me.one(me.compartments);
      const inIt = me.endpoints.filter(({ compartment }) => compartment === name);
      if (inIt.length > 0 && me.chance(2)) {
        await me.ask(409, 'DELETE', `/v1/compartments/${name}`);
        return;
      }
      if (!(await me.ask(204, 'DELETE', `/v1/compartments/${name}?force=true`))) return;
      removeFrom(me.compartments, name);
      for (const endpoint of inIt) endpoint.compartment = null;
    },
  },
];

const networkDeeds: readonly Deed[] = [
  {
    ...{ name: 'create network', weight: 3 },
    isPossible: (me) => me.networks.length < MOST_NETWORKS,
    async carryOut(me) {
      const name = me.newName('n');
      if (await me.ask(201, 'POST', '/v1/networks', { name, type: 'private' })) me.networks.push(name);
    },
  },
  {
    ...{ name: 'change network', weight: 3 },
    isPossible: (me) => me.networks.length > 0,
    async carryOut(me) {
      const storm = { broadcast: me.one([0, 100, 5000]) };
      const patch = { mtu: me.one([1400, 1500, 9000]), storm, ageingSeconds: me.one([1, 30, 300]) };
      await me.ask(200, 'PATCH', `/v1/networks/${me.one(me.networks)}`, patch);
    },
  },
  {
    ...{ name: 'delete network', weight: 2 },
    isPossible: (me) => me.networks.length > 0,
    async carryOut(me) {
      const name = me.one(me.networks);
      const onIt = me.endpoints.filter(({ network }) => network === name);
      if (onIt.length > 0 && me.chance(2)) {
        await me.ask(409, 'DELETE', `/v1/networks/${name}`);
        return;
      }
      if (!(await me.ask(204, 'DELETE', `/v1/networks/${name}?force=true`))) return;
      removeFrom(me.networks, name);
      for (const endpoint of onIt) removeFrom(me.endpoints, endpoint);
    },
  },
];

const endpointDeeds: readonly Deed[] = [
  {
    ...{ name: 'create endpoint', weight: 12 },
    isPossible: (me) => me.endpoints.length < MOST_ENDPOINTS,
    async carryOut(me) {
      const name = me.newName('e');
      const network = me.one([me.core, me.core, ...me.networks]);
      const compartment = me.chance(6) || me.compartments.length === 0 ? null : me.one(me.compartments);
      const body = { name, network, compartment, offload: !me.chance(3), isolated: me.chance(8) };
      if (await me.ask(201, 'POST', '/v1/endpoints', body)) me.endpoints.push({ name, network, compartment });
    },
  },
  {
    ...{ name: 'attach or move endpoint', weight: 8 },
    isPossible: (me) => me.endpoints.length > 0 && me.compartments.length > 0,
    async carryOut(me) {
      const endpoint = me.one(me.endpoints);
      const compartment = me.one(me.compartments);
      const done = await me.ask(200, 'POST', `/v1/endpoints/${endpoint.name}/attach`, { compartment });
      if (done) endpoint.compartment = compartment;
    },
  },
  {
    ...{ name: 'detach endpoint', weight: 4 },
    isPossible: (me) => me.endpoints.length > 0,
    async carryOut(me) {
      const endpoint = me.one(me.endpoints);
      if (await me.ask(200, 'POST', `/v1/endpoints/${endpoint.name}/detach`)) endpoint.compartment = null;
    },
  },
  {
    ...{ name: 'change endpoint', weight: 4 },
    isPossible: (me) => me.endpoints.length > 0,
    async carryOut(me) {
      const vlan = me.one([null, { mode: 'access', id: 7 }, { mode: 'trunk', native: 1, allowed: [7, 8] }]);
      const { name } = me.one(me.endpoints);
      const staticMacs = me.chance(3) ? [macOf(name)] : [];
      await me.ask(200, 'PATCH', `/v1/endpoints/${name}`, { isolated: me.chance(4), vlan, staticMacs });
    },
  },
  {
    ...{ name: 'delete endpoint', weight: 6 },
    isPossible: (me) => me.endpoints.length > 0,
    async carryOut(me) {
      const endpoint = me.one(me.endpoints);
      if (await me.ask(204, 'DELETE', `/v1/endpoints/${endpoint.name}`)) removeFrom(me.endpoints, endpoint);
    },
  },
];

const captureDeeds: readonly Deed[] = [
  {
    ...{ name: 'start capture', weight: 4 },
    isPossible: (me) => me.captures.length < MOST_CAPTURES,
    async carryOut(me) {
      const name = me.newName('p');
      const subject =
        me.endpoints.length > 0 && me.chance(2) ? { endpoint: me.one(me.endpoints).name } : { network: me.core };
      // Bounded in what it writes: a capture that nobody deletes ends by itself.
      const end = me.chance(2) ? { count: 2000 } : { duration: 2, rotateSize: 1_000_000, rotateFiles: 3 };
      const detail = { snaplen: me.one([0, 64, 200]), drops: me.chance(3), filter: me.one(['', 'tcp', 'udp or icmp']) };
      const body = { name, ...subject, file: me.newFile(), ...end, ...detail };
      if (await me.ask(201, 'POST', '/v1/captures', body)) me.captures.push(name);
    },
  },
  {
    ...{ name: 'stop capture', weight: 4 },
    isPossible: (me) => me.captures.length > 0,
    async carryOut(me) {
      const name = me.one(me.captures);
      if (await me.ask(204, 'DELETE', `/v1/captures/${name}`)) removeFrom(me.captures, name);
    },
  },
  {
    ...{ name: 'watch frames', weight: 1 },
    isPossible: () => true,
    carryOut: (me) => me.weft([0], 'capture', '--network', me.core, '--count', '50'),
  },
];

const READ_ONLY = ['status', 'stats', 'drops', 'fdb', 'events', 'export', 'captures', 'networks'] as const;

const otherDeeds: readonly Deed[] = [
  {
    ...{ name: 'compare lists', weight: 4 },
    isPossible: () => true,
    carryOut: compareLists,
  },
  {
    ...{ name: 'read', weight: 8 },
    isPossible: () => true,
    async carryOut(me) {
      await me.ask(200, 'GET', me.chance(8) ? '/metrics' : `/v1/${me.one(READ_ONLY)}`);
    },
  },
  {
    ...{ name: 'exec', weight: 1 },
    isPossible: (me) => me.compartments.length > 0,
    carryOut: (me) => me.weft([0], 'exec', me.one(me.compartments), '--', 'ip', '-brief', 'address'),
  },
  {
    ...{ name: 'send', weight: 6 },
    isPossible: (me) => attached(me).length > 0,
    async carryOut(me) {
      const compartment = me.one(attached(me)).compartment!;
      const size = String(me.one([0, 1000, 20_000]));
      await me.inside(compartment, ['ping', '-q', '-f', '-c', '300', '-w', '1', '-s', size, me.target]);
    },
  },
  {
    ...{ name: 'ask for what cannot be', weight: 3 },
    isPossible: () => true,
    async carryOut(me) {
      const unknown = me.newName('x');
      await me.ask(404, 'DELETE', `/v1/endpoints/${unknown}`);
      await me.ask(404, 'POST', '/v1/endpoints', { name: unknown, network: unknown });
      await me.ask(400, 'POST', '/v1/endpoints', { name: unknown, network: me.core, mac: 'no MAC' });
      await me.ask(409, 'POST', '/v1/networks', { name: me.core, type: 'private' });
    },
  },
];

export const DEEDS: readonly Deed[] = [
  ...compartmentDeeds,
  ...networkDeeds,
  ...endpointDeeds,
  ...captureDeeds,
  ...otherDeeds,
];

/** What the daemon lists of the operator's own objects is what it believes there is. */
async function compareLists(me: Knowledge): Promise<void> {
  const own = async (kind: string) => {
    const reply = await me.ask(200, 'GET', `/v1/${kind}`);
    const listed: { name: string; compartment?: string | null; state: string }[] = reply?.body ?? [];
    return listed.filter(({ name }) => me.isMine(name));
  };
  const compare = (kind: string, listed: readonly unknown[], believed: readonly unknown[]) => {
    const [is, should] = [JSON.stringify([...listed].sort()), JSON.stringify([...believed].sort())];
    if (is !== should) me.problems.push(`${kind}: the list shows ${is}, but there should be ${should}`);
  };
  const names = (items: readonly { name: string }[]) => items.map(({ name }) => name);
  compare('networks', names(await own('networks')), me.networks);
  compare('compartments', names(await own('compartments')), me.compartments);
  const placed = ({ name, compartment }: { name: string; compartment?: string | null }) => `${name} in ${compartment}`;
  const endpoints = await own('endpoints');
  compare('endpoints', endpoints.map(placed), me.endpoints.map(placed));
  for (const { name, state } of endpoints) if (state === 'degraded') me.problems.push(`endpoint ${name} is degraded`);
}

/** A MAC that no other endpoint has: made of everything that tells names apart. */
function macOf(name: string): string {
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
  return `02:77${hash.toString(16).padStart(8, '0').replace(/../g, ':$&')}`;
}
