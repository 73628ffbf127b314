// Every system and every workload, in the order in which they run and appear.
import { bridge } from './systems/bridge.js';
import { cLoop } from './systems/c-loop.js';
import { ovs, ovsTso } from './systems/ovs.js';
import type { System } from './systems/system.js';
import { vde } from './systems/vde.js';
import { weft } from './systems/weft.js';
import { capacity } from './workloads/capacity.js';
import { captureCost, captureLoss } from './workloads/capture.js';
import { controlPlane } from './workloads/control-plane.js';
import { latency } from './workloads/latency.js';
import { tcpWorkloads } from './workloads/tcp.js';
import { udp64 } from './workloads/udp.js';
import { idlePorts, learnedMacs } from './workloads/weft-scaling.js';
import type { WeftWorkload, Workload } from './workloads/workload.js';

export const SUBJECT = weft.name;

export const systems: readonly System[] = [weft, cLoop, bridge, ovs, ovsTso, vde];
export const workloads: readonly Workload[] = [...tcpWorkloads, udp64, capacity, latency];
export const weftWorkloads: readonly WeftWorkload[] = [idlePorts, learnedMacs, captureCost, captureLoss, controlPlane];
