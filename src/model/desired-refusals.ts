/** Refusals of changes to the desired state (desired-state.ts). */
import type { EndpointSpec } from './endpoint.js';
import { RequestError } from './problems.js';

export function failMissing(what: 'network' | 'compartment' | 'endpoint', name: string): never {
  throw new RequestError('not-found', `there is no ${what} ${name}`, `\`weft ${what} list\` shows them`);
}

export function failExists(what: string, name: string): never {
  throw new RequestError('already-exists', `${what} ${name} exists already`, 'choose another name, or delete it first');
}

/** `owner`: the endpoint whose interface it is; undefined: weft did not make it. */
export function failInterface(compartment: string, ifname: string, owner: string | undefined): never {
  const whose = owner === undefined ? '' : ` (endpoint ${owner})`;
  const message = `compartment ${compartment} has an interface ${ifname} already${whose}`;
  throw new RequestError('conflict', message, 'choose another ifname, or leave it out and weft chooses a free one');
}

export function failRemote({ name, vtep }: Pick<EndpointSpec, 'name' | 'vtep'>): never {
  const message = `endpoint ${name} is behind VTEP ${vtep}, not on this host`;
  throw new RequestError('conflict', message, 'delete it, and create it without --vtep');
}
