/** What overlay networks must not have in common, and what their stations have from the VNI. */
import type { NetworkSpec, OverlaySpec } from './network.js';
import { RequestError } from './problems.js';

/** Networks with the same text ask for the same VTEP. */
export function vtepTextOf({ underlay, vtep, port, underlayNetns }: OverlaySpec): string {
  return `${underlay} ${vtep ?? 'default'} ${port} ${underlayNetns ?? ''}`;
}

/**
 * MAC of the gateway of an overlay network, the same on every host (an anycast gateway): a station that moves finds it there
 * as it left it. Locally administered; the last three bytes are the VNI.
 */
export function anycastMac(vni: number): string {
  const bytes = [0x02, 0x57, 0x45, vni >>> 16, (vni >>> 8) & 255, vni & 255];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Throws `RequestError` conflict when a VTEP would have two networks of one VNI, or two VTEPs one address. */
export function checkOverlay(spec: NetworkSpec, others: Iterable<NetworkSpec>): void {
  const { overlay } = spec;
  if (overlay === null) return;
  for (const { name, overlay: other } of others) {
    if (other === null || name === spec.name || !areOneNamespace(overlay, other)) continue;
    checkAddress(overlay, other, name);
    if (overlay.vni !== other.vni || overlay.port !== other.port || !mayBeOneVtep(overlay, other)) continue;
    const message = `VNI ${overlay.vni} belongs to network ${name} already, on the same VTEP and UDP port`;
    throw new RequestError('conflict', message, 'choose another VNI, or another VTEP address or UDP port');
  }
}

function areOneNamespace(a: OverlaySpec, b: OverlaySpec): boolean {
  return a.underlayNetns === b.underlayNetns;
}

/** Sockets without an address may be on that of the other; which one it is turns out when they are opened. */
function mayBeOneVtep(a: OverlaySpec, b: OverlaySpec): boolean {
  return a.underlay === b.underlay && (a.vtep === b.vtep || a.vtep === null || b.vtep === null);
}

/** An address is either of the host, for sockets, or of a TAP. */
function checkAddress(overlay: OverlaySpec, other: OverlaySpec, name: string): void {
  if (overlay.underlay === other.underlay || overlay.vtep === null || overlay.vtep !== other.vtep) return;
  const message = `VTEP address ${overlay.vtep} belongs to network ${name} already, with underlay ${other.underlay}`;
  throw new RequestError('conflict', message, `choose another address, or underlay ${other.underlay} for both`);
}
