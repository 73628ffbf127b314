/** Whether the datapath has room for more networks and ports. */
import type { NetworkSpec } from './network.js';
import { RequestError } from './problems.js';

/** What the datapath has room for (datapath/program.ts). */
export interface Limits {
  networks: number;
  /** Endpoints, host vNICs, uplinks and ways to services together. */
  ports: number;
}

/** Throws `RequestError` exhausted unless one more network fits beside `present`. */
export function checkNetworkFits(limits: Limits, spec: NetworkSpec, present: Iterable<NetworkSpec>): void {
  let used = segmentsOf(spec);
  for (const other of present) used += segmentsOf(other);
  if (used > limits.networks) failFull(`${limits.networks} networks (a nat one counts as two)`, 'network');
}

/** Throws `RequestError` exhausted unless `wanted` more ports fit beside `endpoints` of endpoints and those of `networks`. */
export function checkPortsFit(
  limits: Limits,
  wanted: number,
  endpoints: number,
  networks: Iterable<NetworkSpec>,
): void {
  let used = endpoints + wanted;
  for (const spec of networks) used += portsOf(spec);
  if (wanted > 0 && used > limits.ports) failFull(`${limits.ports} ports`, 'endpoint');
}

/** Rows that the datapath has for a network: a nat network is two segments. */
function segmentsOf({ type }: NetworkSpec): number {
  return type === 'nat' ? 2 : 1;
}

/** Ports besides those of endpoints: the host vNIC; the uplink and the way to the services. */
export function portsOf({ type }: NetworkSpec): number {
  return { private: 0, internal: 1, nat: 2 }[type];
}

function failFull(limit: string, what: string): never {
  throw new RequestError('exhausted', `this daemon has all the ${limit} that it can have`, `delete a ${what} first`);
}
