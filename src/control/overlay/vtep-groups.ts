/**
 * Multicast groups that stand for the other VTEPs of a network (RFC 7348 section 4.2). Linux hands what is for a group to sockets that are
 * bound to it or to every address, so each group has a socket of its own, which networks of one VTEP share; what goes to groups leaves
 * by the same senders as everything else.
 */
import type { OverlaySpec } from '../../model/network.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import { KernelError } from '../kernel/kernel.js';
import { plugInAll, unplug } from '../plugging.js';
import type { Transaction } from '../transaction.js';
import { isAnotherLink, linkTowards } from './underlay-path.js';
import type { Vtep } from './vtep.js';
import { groupRequest } from './vtep-plan.js';
import { createPart } from './vteps.js';

/** Has the VTEP hear a multicast group, for a network. */
export async function joinGroup(
  context: Context,
  transaction: Transaction,
  vtep: Vtep,
  network: string,
  { group, groupInterface }: OverlaySpec,
): Promise<void> {
  if (group === null) return;
  const name = groupName(group, groupInterface);
  const present = vtep.groups.get(name);
  const other = [...vtep.groups.values()].find(({ ifname }) => ifname !== groupInterface);
  if (other !== undefined) {
    const message = `VTEP ${vtep.address} sends to groups over ${other.ifname ?? 'the interface that the route leads to'}`;
    throw new RequestError(
      'conflict',
      message,
      'name the same interface for all groups, or use another port for this one',
    );
  }
  transaction.onUndo('join the group', () => {
    vtep.groups.get(name)?.networks.delete(network);
    if (vtep.groups.get(name)?.networks.size === 0) vtep.groups.delete(name);
  });
  if (present !== undefined) {
    present.networks.add(network);
    return;
  }
  const request = groupRequest(vtep, group, groupInterface, vtep.mtu);
  const attachment = await createPart(context, transaction, vtep.namespace, vtep.key, request).catch(
    (error: unknown) => {
      throw error instanceof KernelError && error.errno === 'ENODEV' ? noInterface(vtep, group, groupInterface) : error;
    },
  );
  const link = await linkTowards(context.kernel, vtep.namespace, group, groupInterface);
  vtep.groups.set(name, { attachment, networks: new Set([network]), ifname: groupInterface, link });
  for (const { tap } of vtep.senders) context.kernel.setGroupInterface(tap, groupInterface);
  await plugInAll(context, transaction, [attachment]);
}

export async function leaveGroup(
  context: Context,
  transaction: Transaction,
  vtep: Vtep,
  network: string,
  { group, groupInterface }: OverlaySpec,
): Promise<void> {
  if (group === null) return;
  const name = groupName(group, groupInterface);
  const present = vtep.groups.get(name);
  if (present === undefined) return;
  transaction.onUndo('leave the group', () => {
    present.networks.add(network);
    vtep.groups.set(name, present);
    // They may have been made anew.
    for (const { tap } of vtep.senders) context.kernel.setGroupInterface(tap, groupInterface);
  });
  present.networks.delete(network);
  if (present.networks.size > 0) return;
  vtep.groups.delete(name);
  await unplug(context, transaction, [present.attachment]);
}

/** Whether the interface that a group was joined on was made anew: then, though of the same name, it knows nothing of that. */
export async function hasMovedGroup({ kernel }: Context, { namespace, groups }: Vtep): Promise<boolean> {
  for (const { link } of [...groups.values()]) {
    if (link !== null && (await isAnotherLink(kernel, namespace, link))) return true;
  }
  return false;
}

function noInterface({ namespace }: Vtep, group: string, ifname: string | null): RequestError {
  const where = `the namespace of the VTEP (${namespace.path})`;
  const message =
    ifname === null ? `no route of ${where} leads to group ${group}` : `there is no interface ${ifname} in ${where}`;
  const remedy = `name the interface towards the other hosts: --group ${group}%INTERFACE`;
  return new RequestError('kernel-refused', message, remedy);
}

function groupName(group: string, ifname: string | null): string {
  return `${group} ${ifname ?? ''}`;
}
