/**
 * Whether hosts are there by what comes out of their VTEPs: a host that etcd has lost sight of and that still sends is cut off from etcd,
 * not dead, and to forget where its stations are would do the harm that forgetting is to prevent.
 */
import { ipTextOf } from '../../compile/address-rows.js';
import { Counters, TOTAL, totalAt } from '../../datapath/counters.js';
import { listRemotes } from '../../tables/remote-table.js';
import type { Context } from '../context.js';
import type { Replica } from './replica.js';

/** `withinMs`: the last frame of a host that is there is not older. */
export function isHeard(context: Context, replica: Replica, host: string, withinMs: number): boolean {
  const addresses = new Set(replica.networksOf(host).flatMap((network) => replica.recordedVtepOf(network, host) ?? []));
  if (addresses.size === 0) return false;
  const { tables } = context.datapath;
  const now = new Counters(tables.counters).values[totalAt(TOTAL.nowMs)]!;
  return listRemotes(tables.remotes).some(
    ({ family, address, lastHeardMs }) =>
      lastHeardMs !== null && ((now - lastHeardMs) | 0) < withinMs && addresses.has(ipTextOf(family, address)),
  );
}
