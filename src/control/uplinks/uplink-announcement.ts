/**
 * Tells the segment of an uplink of kind `nic` that its external addresses are weft's as soon as it is there: gratuitous ARP and
 * unsolicited neighbour advertisements. Who spoke with another station of such an address, or with a former network of weft, would
 * else send to that one's MAC until its own memory of it ends. Other kinds have no neighbours who could be wrong.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { parseMac } from '../../wire/addresses.js';
import type { Context } from '../context.js';
import { advertisement, gratuitousArp } from '../overlay/announcements.js';

/** Once its port is open. What does not fit into the ring now is not sent: neighbours ask again in a while. */
export function announceUplink(
  { datapath, outbound, uplinkAttachments, uplinks }: Context,
  record: NetworkRecord,
): void {
  const { name, nat } = record.spec;
  const uplink = uplinks.get(name);
  const attachment = uplinkAttachments.get(name);
  const mac = record.uplinkMac === null ? null : parseMac(record.uplinkMac);
  if (uplink?.kind !== 'nic' || attachment === undefined || attachment.port < 0 || mac === null) return;
  const own = uplink.segment.own.map((text) => text.split('/')[0]!);
  for (const address of [...own, ...(nat?.static ?? []).map(({ external }) => external)]) {
    const frame = address.includes(':') ? advertisement(mac, address) : gratuitousArp(mac, address);
    if (frame !== null) outbound.write(attachment.port, attachment.serial, frame, null);
  }
  datapath.wake();
}
