/**
 * MACs that weft gives to endpoints that do not bring one: the same name gets the same MAC every time, on every run of one
 * instance, so that ARP caches and DHCP leases elsewhere stay right when an endpoint is deleted and created again.
 *
 * The prefix 02 is a unicast address of the locally administered space (IEEE 802, section 8.2.2).
 */
import { createHash } from 'node:crypto';

/** `subject`: what the MAC is for, unique in the instance. A MAC that is taken is hashed again; that stays deterministic. */
export function assignMac(instance: string, subject: string, isTaken: (mac: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const digest = createHash('sha256').update(`${instance}\0${subject}\0${attempt}`).digest('hex');
    const mac = `02:${[0, 2, 4, 6, 8].map((at) => digest.slice(at, at + 2)).join(':')}`;
    if (!isTaken(mac)) return mac;
  }
}
