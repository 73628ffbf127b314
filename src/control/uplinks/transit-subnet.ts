/**
 * The small subnets between the machine and weft on an uplink of kind `host`: a /30 of the shared address space 100.64.0.0/10
 * (RFC 6598), a /126 of a unique local prefix (RFC 4193) that is derived from the instance. The first address is the machine's,
 * the second one weft's.
 *
 * Pure. The same daemon, network and surroundings give the same subnet; one that overlaps anything that the machine reaches
 * is passed over.
 */
import { createHash } from 'node:crypto';
import { type Family, formatIp, type IpRange, overlaps, type Subnet, subnetOf } from '../../model/ip.js';

/** 100.64.0.0/10. */
const IPV4_BASE = 0x64400000n;
const IPV4_PREFIX = 30;
const IPV6_PREFIX = 126;
/** Subnets of four addresses in 100.64.0.0/10, and as many of the IPv6 prefix. */
const CANDIDATES = 1 << 20;

export interface TransitSubnet {
  subnet: Subnet;
  /** Bare. */
  machine: string;
  weft: string;
}

/** null when `taken` leaves nothing. `instance` and `network` (ids) say where the search begins. */
export function chooseTransit(
  family: Family,
  instance: string,
  network: string,
  taken: readonly IpRange[],
): TransitSubnet | null {
  const digest = createHash('sha256').update(`transit\0${instance}\0${network}`).digest();
  const start = digest.readUInt32BE(0) % CANDIDATES;
  const others = taken.filter((range) => range.family === family);
  // From `start` to the last candidate, then from the first one to `start`.
  for (const [first, end] of [[start, CANDIDATES] as const, [0, start] as const]) {
    for (let index = first; index < end; ) {
      const subnet = candidate(family, instance, index);
      const hit = others.find((range) => overlaps(range, subnet));
      if (hit === undefined) return transitOf(subnet);
      // On behind all that it covers, so that a large one costs one step.
      const covered = (hit.last - subnet.first) / 4n + 1n;
      index = covered < BigInt(end) ? index + Number(covered) : end;
    }
  }
  return null;
}

/** Who is who on a subnet that was chosen earlier. */
export function transitOf(subnet: Subnet): TransitSubnet {
  const { family, first } = subnet;
  return { subnet, machine: formatIp(family, first + 1n), weft: formatIp(family, first + 2n) };
}

function candidate(family: Family, instance: string, index: number): Subnet {
  const at = BigInt(index) * 4n;
  if (family === 4) return subnetOf({ family, value: IPV4_BASE + at }, IPV4_PREFIX);
  return subnetOf({ family, value: ipv6Base(instance) + at }, IPV6_PREFIX);
}

/** fdXX:XXXX:XXXX:ffff::, with 40 bits of the instance (RFC 4193 section 3.2.2 wants them random, and an instance is). */
function ipv6Base(instance: string): bigint {
  const digest = createHash('sha256').update(`ula\0${instance}`).digest('hex');
  return (BigInt(`0xfd${digest.slice(0, 10)}`) << 80n) | (0xffffn << 64n);
}
