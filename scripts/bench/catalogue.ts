// Every system and every workload, in the order in which they run and appear. Three families, because they connect different
// things: a switch joins two stations of one network, a NAT a station and the outside, an overlay two stations on different hosts.
import { bridge } from './systems/bridge.js';
import { cLoop } from './systems/c-loop.js';
import { cLoopNat, masquerade, routed } from './systems/nat-kernel.js';
import { pasta } from './systems/nat-pasta.js';
import { slirp4netns, slirp1500 } from './systems/nat-slirp4netns.js';
import { weftNat, weftNatRouted } from './systems/nat-weft.js';
import { kernelVxlan } from './systems/overlay-kernel.js';
import { ovsVxlan } from './systems/overlay-ovs.js';
import { weftSocket, weftTap } from './systems/overlay-weft.js';
import { ovs, ovsTso } from './systems/ovs.js';
import type { System } from './systems/system.js';
import { vde } from './systems/vde.js';
import { weft } from './systems/weft.js';
import { capacity } from './workloads/capacity.js';
import { captureCost, captureLoss } from './workloads/capture.js';
import { controlPlane } from './workloads/control-plane.js';
import { latency, natLatency, overlayLatency } from './workloads/latency.js';
import { natConnections, natOffered, natSustained } from './workloads/nat-connections.js';
import { natExpiry, natFlows } from './workloads/nat-flows.js';
import { overlayScale, overlayScaleSocket } from './workloads/overlay-scale.js';
import { natTcpWorkloads, overlayTcpWorkloads, tcpWorkloads } from './workloads/tcp.js';
import { overlayUdp64, udp64 } from './workloads/udp.js';
import { idlePorts, learnedMacs } from './workloads/weft-scaling.js';
import type { WeftWorkload, Workload } from './workloads/workload.js';

export interface Family {
  readonly name: string;
  /** The system of weft, which the others are compared with. */
  readonly subject: string;
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  /** Measured on weft alone. */
  readonly weftWorkloads: readonly WeftWorkload[];
}

const switching: Family = {
  name: 'switch',
  subject: weft.name,
  systems: [weft, cLoop, bridge, ovs, ovsTso, vde],
  workloads: [...tcpWorkloads, udp64, capacity, latency],
  weftWorkloads: [idlePorts, learnedMacs, captureCost, captureLoss, controlPlane],
};

const nat: Family = {
  name: 'nat',
  subject: weftNat.name,
  systems: [weftNat, weftNatRouted, routed, masquerade, cLoopNat, slirp4netns, slirp1500, pasta],
  workloads: [...natTcpWorkloads, natLatency, natConnections, natSustained, natOffered],
  weftWorkloads: [natFlows, natExpiry],
};

const overlay: Family = {
  name: 'overlay',
  subject: weftTap.name,
  systems: [weftTap, weftSocket, kernelVxlan, ovsVxlan],
  workloads: [...overlayTcpWorkloads, overlayUdp64, overlayLatency],
  weftWorkloads: [overlayScale, overlayScaleSocket],
};

export const families: readonly Family[] = [switching, nat, overlay];

/** The system of weft that has this metric. */
export function subjectOf(metric: string): string {
  const owns = (workload: { metrics: readonly { id: string }[] }) => workload.metrics.some(({ id }) => id === metric);
  const family = families.find((one) => [...one.workloads, ...one.weftWorkloads].some(owns));
  if (family === undefined) throw new Error(`no workload measures ${metric}`);
  return family.subject;
}
