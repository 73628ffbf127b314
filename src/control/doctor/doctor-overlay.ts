/** What `weft doctor` says of overlay networks: whether something else does VXLAN on the usual port. Offloads: doctor-features.ts. */
import { VXLAN_PORT } from '../../model/overlay-request.js';
import { listVxlans } from '../kernel/links.js';
import { withRtnetlink } from '../kernel/rtnetlink.js';
import { type Finding, ok, warn } from './doctor-finding.js';

/** Two programs cannot have one UDP port. Open vSwitch shows as an interface of the kernel too, its userspace datapath does not. */
export async function checkVxlanPort(hostFd: number): Promise<Finding> {
  const vxlans = await withRtnetlink(hostFd, listVxlans);
  const taken = vxlans.filter(({ udpPort }) => udpPort === VXLAN_PORT).map(({ ifname }) => ifname);
  if (taken.length === 0) return ok('vxlan-port', `no VXLAN interface of the kernel has UDP port ${VXLAN_PORT}`);
  const finding = `UDP port ${VXLAN_PORT} belongs to ${taken.join(', ')}`;
  const cost = 'overlay networks of underlay socket cannot use that port here';
  return warn('vxlan-port', finding, cost, 'give them another one on all hosts (--port), or use underlay tap');
}
