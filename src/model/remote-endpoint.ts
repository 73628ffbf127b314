/** Endpoints behind the VTEP of another host (HCN RemoteEndpoint): what of an endpoint means something there. */
import type { EndpointSpec } from './endpoint.js';
import type { NetworkSpec } from './network.js';
import { RequestError } from './problems.js';

type Remote = Pick<EndpointSpec, 'name' | 'vtep' | 'compartment' | 'vlan' | 'publish' | 'isolated' | 'staticMacs'> & {
  mac: string | null;
};

/** Throws `RequestError` unless the network can have the endpoint, whose `vtep` is not null. */
export function checkRemote(endpoint: Remote, { name, type, overlay }: NetworkSpec): void {
  const { vtep, vlan } = endpoint;
  if (overlay === null) {
    const message = `endpoint ${endpoint.name} cannot be behind a VTEP: network ${name} is of type ${type}`;
    throw new RequestError('conflict', message, 'name a network of type overlay');
  }
  if (endpoint.mac === null) {
    const message = `endpoint ${endpoint.name} is behind VTEP ${vtep}, so its MAC is not for weft to choose`;
    throw new RequestError('invalid-request', message, 'name its MAC with mac (--mac)');
  }
  const own = overlay.vtep;
  if (own === vtep) {
    const message = `${vtep} is the VTEP of this host itself on network ${name}`;
    throw new RequestError('conflict', message, 'leave vtep out for an endpoint of this host');
  }
  if (own !== null && own.includes(':') !== vtep?.includes(':')) {
    const message = `VTEP ${vtep} and that of network ${name}, ${own}, are of different families`;
    throw new RequestError('conflict', message, 'name the address that the other host has in the same family');
  }
  const what = localPart(endpoint);
  if (what !== null) {
    const message = `endpoint ${endpoint.name} is behind VTEP ${vtep}, and ${what} is for endpoints of this host`;
    throw new RequestError('invalid-request', message, `leave out ${what}, or vtep`);
  }
  if (overlay.innerVlan === 'strip' && vlan?.mode === 'access') {
    const message = `the tunnel of network ${name} carries no VLANs`;
    throw new RequestError('conflict', message, 'leave vlan out, or create the network with innerVlan keep');
  }
}

function localPart({ compartment, publish, isolated, staticMacs, vlan }: Remote): string | null {
  if (compartment !== null) return 'compartment';
  if (publish.length > 0) return 'publish';
  if (isolated) return 'isolated';
  if (staticMacs.length > 0) return 'staticMacs';
  return vlan?.mode === 'trunk' ? 'a trunk' : null;
}
