/**
 * What the tables of the router say of an endpoint, made once: a program is compiled for every change of any endpoint, and
 * reading addresses from text takes longer than everything else. A change of an endpoint always makes a new spec.
 */
import type { EndpointSpec } from '../model/endpoint.js';
import type { Family } from '../model/ip.js';
import { parseMac } from '../wire/addresses.js';
import { addressWords, ipFrom } from './address-rows.js';

export interface EndpointRows {
  /** Per address: family, four words, MAC high, MAC low. */
  neighbours: readonly (readonly number[])[];
  /** Words of its first address of each family; null where it has none. */
  inside: { readonly 4: readonly number[] | null; readonly 6: readonly number[] | null };
}

const made = new WeakMap<EndpointSpec, EndpointRows>();

export function endpointRows(endpoint: EndpointSpec): EndpointRows {
  const known = made.get(endpoint);
  if (known !== undefined) return known;
  const rows = makeRows(endpoint);
  made.set(endpoint, rows);
  return rows;
}

function makeRows({ ip, mac: text, vlan }: EndpointSpec): EndpointRows {
  const addresses = ip.map(ipFrom).map((address) => ({ family: address.family, words: addressWords(address) }));
  const mac = parseMac(text);
  const first = (family: Family) => addresses.find((address) => address.family === family)?.words ?? null;
  const isReached = mac !== null && !isInVlan(vlan);
  return {
    neighbours: isReached ? addresses.map(({ family, words }) => [family, ...words, mac.high, mac.low]) : [],
    inside: { 4: first(4), 6: first(6) },
  };
}

/** The gateway is in the untagged domain, and stations of VLANs are not there. */
function isInVlan(vlan: EndpointSpec['vlan']): boolean {
  return vlan !== null && (vlan.mode === 'access' || vlan.native !== null);
}
