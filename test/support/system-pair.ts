/**
 * The set-up that most system tests begin with: one network and two compartments on it, made through the HTTP interface.
 */
import type { Daemon } from './system-daemon.js';
import type { Lab, Subnet } from './system-lab.js';

export interface Side {
  /** What `lab.inside` and its siblings take. */
  base: string;
  /** Full names, as weft knows them. */
  compartment: string;
  endpoint: string;
  v4: string;
  v6: string;
  mac: string;
}

export interface Pair {
  network: string;
  subnet: Subnet;
  left: Side;
  right: Side;
}

let pairs = 0;

/**
 * A network with an IPv4 and an IPv6 subnet and two compartments, both attached (interface eth0). `network` is merged into
 * the request for the network, `endpoint` into those for the endpoints.
 */
export async function createPair(
  lab: Lab,
  options: { daemon?: Daemon; network?: object; endpoint?: object } = {},
): Promise<Pair> {
  const number = pairs++;
  const daemon = options.daemon ?? lab.daemon;
  const subnet = lab.subnet();
  const network = lab.name(`net${number}`);
  const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
  await daemon.call('POST', '/v1/networks', { name: network, type: 'private', subnets, ...options.network });
  const attach = (base: string, host: number): Promise<Side> =>
    createSide(lab, { daemon, network, subnet, base, host, ...(options.endpoint && { endpoint: options.endpoint }) });
  return { network, subnet, left: await attach(`left${number}`, 10), right: await attach(`right${number}`, 20) };
}

/** One more compartment with an endpoint on a network; its addresses end in `host`. */
export async function createSide(
  lab: Lab,
  options: { daemon?: Daemon; network: string; subnet: Subnet; base: string; host: number; endpoint?: object },
): Promise<Side> {
  const { subnet, base, host } = options;
  const daemon = options.daemon ?? lab.daemon;
  const compartment = lab.name(base);
  const endpoint = `${compartment}-eth0`;
  const [v4, v6] = [`${subnet.v4}.${host}`, `${subnet.v6}::${host}`];
  await daemon.call('POST', '/v1/compartments', { name: compartment });
  const request = { name: endpoint, network: options.network, compartment, ip: [v4, v6], ...options.endpoint };
  const { mac } = await daemon.call('POST', '/v1/endpoints', request);
  return { base, compartment, endpoint, v4, v6, mac };
}
