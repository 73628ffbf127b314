/**
 * The values of keys: JSON, except for claims, which are the text of their owner. Reading trusts nothing, because others can write to
 * etcd too: what does not look right is no record.
 */
import type { EndpointSpec } from '../../model/endpoint.js';
import { parseIp } from '../../model/ip.js';
import { parsePublished } from '../../model/published-port.js';
import { whyBadDomain } from '../../model/services-request.js';
import { isStationMac, parseMac } from '../../wire/addresses.js';

/** A daemon that is there. */
export interface HostRecord {
  /** Of the daemon: another one under the same name is another host. */
  instance: string;
  version: string;
  /** RFC 3339. */
  since: string;
}

export interface VtepRecord {
  address: string;
}

/** An endpoint as other hosts must know it. */
export interface StationRecord {
  mac: string;
  /** Further MACs behind it. */
  macs: string[];
  ip: string[];
  /** 0 = untagged. */
  vlan: number;
  compartment: string;
  aliases: string[];
  /** Published ports, as `model/published-port.ts` writes them: names of services on every host. */
  publish: string[];
  /** Behind another VTEP than that of its host: a remote endpoint that was entered there. */
  vtep: string | null;
}

/** No list of an endpoint is longer (model/endpoint-request.ts). */
const MAX_LISTED = 1024;

export function hostRecordFrom(text: string): HostRecord | null {
  const value = parseObject(text);
  if (value === null || typeof value.instance !== 'string') return null;
  const { instance, version, since } = value;
  return { instance, version: textOr(version, ''), since: textOr(since, '') };
}

export function vtepRecordFrom(text: string): VtepRecord | null {
  const address = parseObject(text)?.address;
  return typeof address === 'string' && parseIp(address) !== null ? { address } : null;
}

export function stationRecordFrom(text: string): StationRecord | null {
  const value = parseObject(text);
  if (value === null || !isMac(value.mac)) return null;
  const { mac, vlan, vtep } = value;
  const macs = listOf(value.macs, isMac);
  const ip = listOf(value.ip, isAddress);
  const aliases = listOf(value.aliases, (name) => typeof name === 'string' && whyBadDomain(name) === null);
  const publish = listOf(value.publish, (port) => typeof port === 'string' && parsePublished(port).ok);
  if (macs === null || ip === null || aliases === null || publish === null) return null;
  if (!Number.isInteger(vlan) || (vlan as number) < 0 || (vlan as number) > 4094) return null;
  if (vtep !== null && !isAddress(vtep)) return null;
  return { mac, macs, ip, vlan: vlan as number, compartment: textOr(value.compartment, ''), aliases, publish, vtep };
}

/** null: a detached endpoint is no station. */
export function stationOf(spec: EndpointSpec): StationRecord | null {
  if (spec.compartment === null && spec.vtep === null) return null;
  return {
    mac: spec.mac,
    macs: [...spec.staticMacs],
    ip: [...spec.ip],
    vlan: untaggedVlanOf(spec),
    compartment: spec.compartment ?? '',
    aliases: [...spec.aliases],
    publish: [...spec.publish],
    vtep: spec.vtep,
  };
}

function untaggedVlanOf({ vlan }: EndpointSpec): number {
  if (vlan === null) return 0;
  return vlan.mode === 'access' ? vlan.id : (vlan.native ?? 0);
}

/** Owner of claims: a daemon that has another state than the last one of this name does not own what that one had. */
export function ownerText(host: string, instance: string): string {
  return `${host} ${instance}`;
}

export function hostOfOwner(owner: string): string {
  return owner.split(' ', 1)[0]!;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function listOf(value: unknown, isGood: (item: unknown) => boolean): string[] | null {
  const list = value ?? [];
  if (!Array.isArray(list) || list.length > MAX_LISTED || !list.every(isGood)) return null;
  return list as string[];
}

function isMac(value: unknown): value is string {
  const mac = typeof value === 'string' ? parseMac(value) : null;
  return mac !== null && isStationMac(mac.high, mac.low);
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && parseIp(value) !== null;
}

function textOr(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}
