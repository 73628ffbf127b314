/**
 * The rules of nftables that uplinks of kind `host` and `raw` need in a namespace, as text. Pure.
 *
 *   guard        loopback addresses of the machine stay out of reach of compartments although route_localnet is on
 *   published    what is for a published port of the machine goes to weft, from outside (prerouting) and from the machine
 *                itself (output); the source stays
 *   leaving      what leaves weft gets an address of the machine, if that is wanted; what came from a loopback address, or from
 *                weft itself (a compartment asks for a published port of the machine), gets the machine's address on the TAP,
 *                because the answer must find its way back
 *   quiet        (raw) the machine's kernel does not refuse what is for ports of weft's
 */
import { MARK } from '../kernel/raw-mark.js';

/** A published port of the machine and where it leads. */
export interface PublishedRule {
  protocol: 'tcp' | 'udp';
  family: 4 | 6;
  /** Address of the machine; null: all of them. */
  hostAddress: string | null;
  first: number;
  last: number;
  /** External address of weft; the port stays. */
  target: string;
}

export interface UplinkRules {
  /** TAP of the uplink. */
  ifname: string;
  /** Addresses of weft, bare, that the outside does not know. */
  masquerade: string[];
  /** Addresses of weft, bare, all. */
  external: string[];
  published: PublishedRule[];
}

const LOOPBACK4 = '127.0.0.0/8';

interface PortRange {
  first: number;
  last: number;
}

/** Ports of an IPv4 address of the machine that are weft's (uplink `raw`). */
export interface SharedAddress {
  address: string;
  tcp: PortRange[];
  udp: PortRange[];
}

/** Chains of one table; both in an order that does not change by itself. */
export function formatRules(uplinks: readonly UplinkRules[], shared: readonly SharedAddress[] = []): string {
  return (uplinks.length === 0 ? '' : formatHost(uplinks)) + (shared.length === 0 ? '' : formatQuiet(shared));
}

/**
 * The machine's kernel knows nothing of connections that are weft's and would refuse them. What weft sends has its mark. Of an ICMP
 * error the quoted packet is looked at: its protocol at byte 8 + 9, the port that it was for at byte 8 + 20 + 2.
 */
function formatQuiet(shared: readonly SharedAddress[]): string {
  const mark = `meta mark != 0x${MARK.toString(16)}`;
  const refusals = shared.flatMap(({ address, tcp, udp }) => [
    ...tcp.map((range) => `ip saddr ${address} tcp sport ${formatRange(range)} tcp flags & rst == rst ${mark} drop`),
    ...udp.map(
      ({ first, last }) =>
        `ip saddr ${address} icmp type destination-unreachable icmp code port-unreachable ` +
        `@th,136,8 17 @th,240,16 >= ${first} @th,240,16 <= ${last} ${mark} drop`,
    ),
  ]);
  return chain('quiet', 'filter', 'output', 0, refusals);
}

function formatRange({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function formatHost(uplinks: readonly UplinkRules[]): string {
  const taps = `{ ${uplinks.map(({ ifname }) => quote(ifname)).join(', ')} }`;
  const published = uplinks.flatMap((uplink) => uplink.published.map(formatPublished));
  return [
    chain('guard', 'filter', 'prerouting', -300, [
      `iifname ${taps} ip daddr ${LOOPBACK4} drop`,
      `iifname ${taps} ip saddr ${LOOPBACK4} drop`,
    ]),
    chain('published', 'nat', 'prerouting', -100, published),
    chain('published_here', 'nat', 'output', -100, published),
    chain('leaving', 'nat', 'postrouting', 100, uplinks.flatMap(formatMasquerade)),
  ].join('');
}

function formatMasquerade({ ifname, masquerade, external }: UplinkRules): string[] {
  const back = [`oifname ${quote(ifname)} ip saddr ${LOOPBACK4} masquerade`];
  const inOfBoth = ([family, word]: [4 | 6, string]) => {
    const own = ofFamily(external, family);
    const hidden = ofFamily(masquerade, family);
    return [
      ...(own.length === 0 ? [] : [`oifname ${quote(ifname)} ${word} saddr { ${own.join(', ')} } masquerade`]),
      ...(hidden.length === 0 ? [] : [`oifname != ${quote(ifname)} ${word} saddr { ${hidden.join(', ')} } masquerade`]),
    ];
  };
  return [...back, ...inOfBoth([4, 'ip']), ...inOfBoth([6, 'ip6'])];
}

function formatPublished({ protocol, family, hostAddress, first, last, target }: PublishedRule): string {
  const word = family === 4 ? 'ip' : 'ip6';
  // Linux has no route_localnet for IPv6: from ::1 nothing can be forwarded, and who tries is better refused than left waiting.
  const anywhere = family === 4 ? 'fib daddr type local' : 'ip6 daddr != ::1 fib daddr type local';
  const place = hostAddress === null ? anywhere : `${word} daddr ${hostAddress}`;
  const ports = formatRange({ first, last });
  return `meta nfproto ipv${family} ${place} ${protocol} dport ${ports} dnat ${word} to ${target}`;
}

function chain(name: string, type: string, hook: string, priority: number, rules: readonly string[]): string {
  const head = `type ${type} hook ${hook} priority ${priority}; policy accept;`;
  return `  chain ${name} {\n${[head, ...rules].map((rule) => `    ${rule}\n`).join('')}  }\n`;
}

function ofFamily(addresses: readonly string[], family: 4 | 6): string[] {
  return addresses.filter((address) => address.includes(':') === (family === 6));
}

/** Names of interfaces have no quotes: weft makes them. */
function quote(ifname: string): string {
  return `"${ifname}"`;
}
