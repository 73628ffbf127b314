/**
 * What a namespace does for all uplinks of kind `host` and `raw` and all VTEPs of underlay `tap` that lead into it: forwarding, rules,
 * answers for addresses behind weft; always brought to what the desired state says now, as a whole.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { familiesOf } from '../../model/outside.js';
import { isEveryAddress, isOfFamily, publishedFrom } from '../../model/published-port.js';
import type { Context } from '../context.js';
import type { Namespace, RoutingRequest } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import type { Vtep } from '../overlay/vtep.js';
import type { Attachment } from '../port-table.js';
import type { Transaction } from '../transaction.js';
import { ownPorts } from './raw-uplink.js';
import { isRouted } from './uplink.js';
import { formatRules, type PublishedRule, type SharedAddress, type UplinkRules } from './uplink-rules.js';

/** Brings the namespace to what its uplinks and VTEPs need; takes everything back when there is none. */
export async function syncRouting(context: Context, namespace: Namespace): Promise<void> {
  const { events, kernel } = context;
  const rules = rulesIn(context, namespace);
  const shared = sharedIn(context, namespace);
  const vteps = vtepsIn(context, namespace);
  if (rules.length + shared.length + vteps.length === 0) {
    await kernel.clearRouting(namespace);
    return;
  }
  const changed = await kernel.setRouting(namespace, routingOf(context, rules, shared, vteps));
  if (changed.length === 0) return;
  const what = `${placeOf(namespace)} (${changed.join(', ')})`;
  const message = `forwarding was switched on in ${what}; it goes back with the last uplink or VTEP there`;
  const name = rules[0]?.network ?? vteps[0]?.networks.values().next().value ?? '';
  events.add({ type: 'forwarding-enabled', object: 'network', name, message });
}

/**
 * To be called before a change of published ports; what it returns is to be called after it. Taking the change back takes
 * the rules back too.
 */
export function keepPublished(context: Context, transaction: Transaction, network: string): () => Promise<void> {
  const sync = async () => {
    const uplink = context.uplinks.get(network);
    if (uplink !== undefined && isRouted(uplink)) await syncRouting(context, uplink.namespace);
  };
  transaction.onUndo('published ports', sync);
  return sync;
}

interface NetworkRules extends UplinkRules {
  network: string;
}

/** By name of the network, so that the same state makes the same rules. */
function rulesIn(context: Context, { device, inode }: Namespace): NetworkRules[] {
  const rules: NetworkRules[] = [];
  for (const [network, { kind, namespace }] of context.uplinks) {
    if (kind !== 'host' || namespace.device !== device || namespace.inode !== inode) continue;
    const record = context.state.networks.get(network);
    const attachment = context.uplinkAttachments.get(network);
    if (record !== undefined && attachment !== undefined) {
      rules.push(rulesOf(context, record, nameOf(attachment)));
    }
  }
  return rules.sort((a, b) => (a.network < b.network ? -1 : 1));
}

/** Of the interface now. Another program may have given it a name with characters that mean something to nftables. */
function nameOf({ tap, request }: Attachment): string {
  const name = tap.currentName();
  return name !== null && /^[\w.-]+$/.test(name) ? name : request.ifname;
}

function rulesOf(context: Context, record: NetworkRecord, ifname: string): NetworkRules {
  const { spec } = record;
  const { external } = context.uplinks.get(spec.name)?.segment ?? { external: [] };
  const statics = (spec.nat?.static ?? []).map((pair) => pair.external);
  return {
    network: spec.name,
    ifname,
    masquerade: spec.masquerade ? [...external, ...statics] : [],
    external: [...external, ...statics],
    published: [...record.endpoints].sort().flatMap((name) => publishedBy(context, record, name, external)),
  };
}

function publishedBy(
  context: Context,
  { spec }: NetworkRecord,
  endpoint: string,
  external: readonly string[],
): PublishedRule[] {
  return context.state.endpoint(endpoint).spec.publish.flatMap((text) => {
    const port = publishedFrom(text);
    // An address of weft's own is not the machine's: what is for it comes without a rule.
    if (port.hostIp !== null && external.includes(port.hostIp)) return [];
    return familiesOf(spec).flatMap((family) => {
      const target = external.find((address) => address.includes(':') === (family === 6));
      if (target === undefined || !isOfFamily(port, family)) return [];
      const { protocol, hostFirst: first, hostLast: last } = port;
      const hostAddress = isEveryAddress(port) ? null : port.hostIp;
      return [{ protocol, family, hostAddress, first, last, target }];
    });
  });
}

/** Those that a TAP leads to. */
function vtepsIn({ overlay }: Context, { device, inode }: Namespace): Vtep[] {
  const taps = [...overlay.vteps.values()].filter(({ underlay }) => underlay === 'tap');
  return taps.filter(({ namespace }) => namespace.device === device && namespace.inode === inode);
}

/** The ports that uplinks of kind `raw` have of addresses of the machine; also tells those uplinks. */
function sharedIn(context: Context, { device, inode }: Namespace): SharedAddress[] {
  const shared: SharedAddress[] = [];
  for (const [network, uplink] of [...context.uplinks].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { kind, namespace, segment } = uplink;
    const record = context.state.networks.get(network);
    if (kind !== 'raw' || namespace.device !== device || namespace.inode !== inode || record === undefined) continue;
    const ports = portsOf(context, record);
    uplink.ports = ownPorts(ports);
    for (const address of segment.external) shared.push({ address, ...ports });
  }
  return shared;
}

/** What NAT gives out by itself, and what is published. */
function portsOf(context: Context, record: NetworkRecord): Pick<SharedAddress, 'tcp' | 'udp'> {
  const { first, last } = record.spec.nat?.ports ?? { first: 0, last: 0 };
  const ports = { tcp: [{ first, last }], udp: [{ first, last }] };
  for (const name of [...record.endpoints].sort()) {
    for (const text of context.state.endpoint(name).spec.publish) {
      const { hostFirst, hostLast, protocol } = publishedFrom(text);
      ports[protocol].push({ first: hostFirst, last: hostLast });
    }
  }
  return ports;
}

function routingOf(
  context: Context,
  uplinks: readonly NetworkRules[],
  shared: readonly SharedAddress[],
  vteps: readonly Vtep[],
): RoutingRequest {
  const needsRules =
    shared.length > 0 || uplinks.some(({ masquerade, published }) => masquerade.length > 0 || published.length > 0);
  const transits = uplinks.flatMap(({ network }) => context.state.network(network).transit);
  const behind = [...transits, ...vteps.map(({ address }) => address)];
  return {
    ipv4: behind.some((text) => !text.includes(':')),
    ipv6: behind.some((text) => text.includes(':')),
    rules: needsRules ? formatRules(uplinks, shared) : null,
    taps: uplinks.map(({ ifname }) => ifname),
    proxies: vteps.flatMap(({ plan }) => plan.proxies),
  };
}
