/**
 * The MTU of overlay networks that are to be made without naming one: what the underlay carries, less the headers around. A network
 * keeps what it was made with; a request that says nothing of it means what is there.
 */
import type { NetworkSpec, OverlaySpec } from '../../model/network.js';
import type { Context } from '../context.js';
import type { Transaction } from '../transaction.js';
import { findPath, outerBytes, overlayMtu } from './underlay-path.js';
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

/**
 * Says so when a network, which has its tunnel, may send more than the underlay carries here, as far as its interfaces say: such packets are
 * dropped (`exceeds-underlay`), and their sender is not told.
 */
export function warnOfMtu(
  { overlay, log }: Context,
  transaction: Transaction,
  { name, mtu, overlay: tunnel }: NetworkSpec,
): void {
  const vtep = overlay.vteps.get(overlay.tunnels.get(name) ?? '');
  if (tunnel === null || vtep === undefined) return;
  const most = vtep.mtu - outerBytes(0, vtep.address.includes(':') ? 6 : 4, tunnel.innerVlan);
  if (mtu <= most) return;
  const message =
    `network ${name}: its MTU is ${mtu}, but packets of more than ${most} bytes do not fit through the underlay, ` +
    `whose MTU is ${vtep.mtu}; lower it with: weft network set ${name} --mtu ${most}`;
  log.warn({ network: name }, message);
  transaction.emit({ type: 'warning', object: 'network', name, message });
}
