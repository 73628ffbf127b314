/** What a network of a type has: questions that many parts of weft ask, answered in one place. */
import type { NetworkSpec } from './network.js';

/** Whether it has a segment towards the outside, with an address translation (`nat` always, `overlay` where it was asked for). */
export function hasUplink({ uplink }: Pick<NetworkSpec, 'uplink'>): boolean {
  return uplink !== null;
}

/** Whether weft itself is its gateway, in the datapath. */
export function hasOwnGateway({ type, subnets }: Pick<NetworkSpec, 'type' | 'subnets'>): boolean {
  return type === 'nat' || (type === 'overlay' && subnets.length > 0);
}

/** Whether anybody is its gateway: weft, or the host by its vNIC on an internal network. */
export function hasGateway(spec: Pick<NetworkSpec, 'type' | 'subnets'>): boolean {
  return spec.type === 'internal' || hasOwnGateway(spec);
}

/** Whether the host has a vNIC on it. */
export function hasHostVnic({ type, overlay }: Pick<NetworkSpec, 'type' | 'overlay'>): boolean {
  return type === 'internal' || (overlay !== null && overlay.hostVnic !== null);
}
