/** Whether the datapath has room for more networks and ports. */
import type { NetworkSpec } from './network.js';
import { hasHostVnic, hasUplink } from './network-kind.js';
import { vtepTextOf } from './overlay-rules.js';
import { RequestError } from './problems.js';

/** What the datapath has room for (datapath/program.ts). */
export interface Limits {
  networks: number;
  /** Endpoints, host vNICs, uplinks, ways to services, tunnels and VTEPs together. */
  ports: number;
}

/** Source ports of a VTEP over sockets, each a socket and a port of its own, besides the one that receives. */
export const VTEP_SENDERS = 16;

/** Throws `RequestError` exhausted unless one more network fits beside `present`. */
export function checkNetworkFits(limits: Limits, spec: NetworkSpec, present: Iterable<NetworkSpec>): void {
  const all = [spec, ...present];
  const used = all.reduce((sum, each) => sum + segmentsOf(each), vtepsOf(all).length);
  if (used > limits.networks) {
    failFull(`${limits.networks} networks (an uplink counts as one more, and so does a VTEP)`, 'network');
  }
}

/** Throws `RequestError` exhausted unless there are ports for so many endpoints and for `networks` with their VTEPs. */
export function checkPortsFit(limits: Limits, endpoints: number, networks: Iterable<NetworkSpec>): void {
  const all = [...networks];
  const used = all.reduce((sum, each) => sum + portsOf(each), endpoints);
  const ofVteps = vtepsOf(all).reduce((sum, { underlay }) => sum + (underlay === 'socket' ? 1 + VTEP_SENDERS : 1), 0);
  if (used + ofVteps > limits.ports) failFull(`${limits.ports} ports`, 'endpoint');
}

/** Rows that the datapath has for a network: its uplink is a segment of its own. */
function segmentsOf(spec: NetworkSpec): number {
  return hasUplink(spec) ? 2 : 1;
}

/** Ports besides those of endpoints: the host vNIC, the uplink, the way to the services, what stands for the tunnel, and what hears its group. */
function portsOf(spec: NetworkSpec): number {
  const { dns, overlay } = spec;
  const hasGroup = overlay !== null && overlay.group !== null;
  const isThere = [hasHostVnic(spec), hasUplink(spec), dns !== null, overlay !== null, hasGroup];
  return isThere.filter((each) => each).length;
}

/** Of each VTEP the first network that has it. */
function vtepsOf(all: readonly NetworkSpec[]): { underlay: string }[] {
  const found = new Map<string, { underlay: string }>();
  for (const { overlay } of all) if (overlay !== null) found.set(vtepTextOf(overlay), overlay);
  return [...found.values()];
}

function failFull(limit: string, what: string): never {
  throw new RequestError('exhausted', `this daemon has all the ${limit} that it can have`, `delete a ${what} first`);
}
