/**
 * The MTU of overlay networks that are to be made without naming one: what the underlay carries, less the headers around. A network
 * keeps what it was made with; a request that says nothing of it means what is there.
 */
import type { NetworkSpec, OverlaySpec } from '../../model/network.js';
import type { Context } from '../context.js';
import { findPath, overlayMtu } from './underlay-path.js';
import { closeGround, openGround } from './vteps.js';

/** Rejects when the namespace of the underlay is not there. */
export async function deriveMtu(
  context: Context,
  spec: Pick<NetworkSpec, 'subnets'>,
  overlay: OverlaySpec,
): Promise<number> {
  const ground = await openGround(context, overlay);
  try {
    const { mtu, family } = await findPath(context.kernel, ground.namespace, overlay);
    const hasIpv6 = spec.subnets.some((subnet) => subnet.includes(':'));
    return overlayMtu(mtu, family, overlay.innerVlan, hasIpv6);
  } finally {
    closeGround(context, ground);
  }
}

/** Whether a request for a network leaves its MTU open. */
export function leavesMtuOpen(request: unknown): boolean {
  if (typeof request !== 'object' || request === null) return false;
  const { mtu } = request as { mtu?: unknown };
  return mtu === undefined || mtu === null;
}

/** The network as it is to be made. */
export async function withMtu(context: Context, spec: NetworkSpec, isOpen: boolean): Promise<NetworkSpec> {
  const { overlay } = spec;
  if (overlay === null || !isOpen) return spec;
  const present = context.state.networks.get(spec.name)?.spec;
  if (present !== undefined && present.overlay !== null) return { ...spec, mtu: present.mtu };
  return { ...spec, mtu: await deriveMtu(context, spec, overlay) };
}
