/**
 * The set-up of the system tests of NAT: a compartment behind a nat network, a namespace that plays the host of the uplink, and
 * one that plays the rest of the world.
 *
 *   compartment `inside` -- weft, nat network -- TAP in `router` --(kernel, nftables)-- rb ==veth== pb in `outside`
 *
 * `outside` has two addresses of each family, for what needs a second one. By default weft has the kernel of `router` masquerade
 * (the uplink as it comes); with `plain` it does not, the outside has a route to weft's external addresses, and what the outside
 * sees is what weft's NAT made of it and nobody else.
 */
import type { Lab, Subnet } from './system-lab.js';
import { createSide, type Side } from './system-pair.js';
import { must, waitFor } from './system-process.js';

export interface Nat {
  network: string;
  subnet: Subnet;
  inside: Side;
  /** Gateway addresses of the network. */
  gateway: Addresses;
  /** Where weft's packets come from. */
  external: Addresses;
  world: World;
}

export interface Addresses {
  v4: string;
  v6: string;
}

/** Router and outside, which several networks may share. Bases are what `lab.inside` takes. */
export interface World {
  router: string;
  outside: string;
  /** Of the router, towards the outside. */
  near: Addresses;
  far: Addresses;
  /** The second ones of the outside. */
  further: Addresses;
}

let worlds = 0;
let nats = 0;

/** A router and an outside, joined by a veth pair of MTU 1500. */
export async function createWorld(lab: Lab): Promise<World> {
  const number = worlds++;
  const [router, outside] = [`router${number}`, `outside${number}`];
  const path = await lab.addNamespace(router);
  await lab.addNamespace(outside);
  const subnet = lab.subnet();
  const near = { v4: `${subnet.v4}.1`, v6: `${subnet.v6}::1` };
  const far = { v4: `${subnet.v4}.2`, v6: `${subnet.v6}::2` };
  const further = { v4: `${subnet.v4}.3`, v6: `${subnet.v6}::3` };
  await must([
    'nsenter',
    `--net=${path}`,
    ...'ip link add rb type veth peer name pb netns'.split(' '),
    lab.name(outside),
  ]);
  for (const [base, ifname, addresses] of [
    [router, 'rb', [near]],
    [outside, 'pb', [far, further]],
  ] as const) {
    for (const { v4, v6 } of addresses) {
      // A deprecated address is never chosen as a source by itself: programs answer from the first one, as with IPv4.
      const deprecated = v6 === further.v6 ? ['preferred_lft', '0'] : [];
      await lab.inside(base, ['ip', 'address', 'add', `${v4}/24`, 'dev', ifname]);
      await lab.inside(base, ['ip', 'address', 'add', `${v6}/64`, 'dev', ifname, 'nodad', ...deprecated]);
    }
    await lab.inside(base, ['ip', 'link', 'set', 'dev', ifname, 'up']);
  }
  for (const family of ['-4', '-6']) {
    const via = family === '-4' ? far.v4 : far.v6;
    await lab.inside(router, ['ip', family, 'route', 'add', 'default', 'via', via]);
  }
  return { router, outside, near, far, further };
}

/** A nat network with IPv4 and IPv6 and one compartment on it. `network` and `endpoint` are merged into the requests. */
export async function createNat(
  lab: Lab,
  options: { world?: World; plain?: boolean; network?: object; endpoint?: object } = {},
): Promise<Nat> {
  const number = nats++;
  const { daemon } = lab;
  const world = options.world ?? (await createWorld(lab));
  const subnet = lab.subnet();
  const network = lab.name(`nat${number}`);
  const outer = lab.subnet();
  const external = { v4: `${outer.v4}.1`, v6: `${outer.v6}::1` };
  const plain = options.plain ? { masquerade: false, externalIp: [external.v4, external.v6] } : {};
  const created = await daemon.call('POST', '/v1/networks', {
    ...{ name: network, type: 'nat', subnets: [`${subnet.v4}.0/24`, `${subnet.v6}::/64`] },
    ...{ uplink: 'host', uplinkNetns: lab.path(world.router), ...plain, ...options.network },
  });
  if (options.plain) {
    await lab.inside(world.outside, ['ip', 'route', 'add', external.v4, 'via', world.near.v4]);
    await lab.inside(world.outside, ['ip', '-6', 'route', 'add', external.v6, 'via', world.near.v6]);
  }
  const endpoint = options.endpoint === undefined ? {} : { endpoint: options.endpoint };
  const inside = await createSide(lab, { network, subnet, base: `inside${number}`, host: 10, ...endpoint });
  await addressesReady(lab, inside.base);
  const [v4, v6] = created.gateway as [string, string];
  return { network, subnet, inside, gateway: { v4, v6 }, external, world };
}

/** Waits until no address of a compartment is tentative: before that the kernel does not send from it. */
export async function addressesReady(lab: Lab, base: string): Promise<void> {
  const tentative = () => lab.inside(base, ['ip', '-6', 'address', 'show', 'tentative']);
  await waitFor(`the addresses in ${base} to be ready`, async () => (await tentative()) === '');
}

/** What a web server answers: who asked it, and which address was asked. */
export interface Answer {
  from: string;
  to: string;
}

/**
 * A web server in a namespace, on `port` of all addresses, that answers `GET /` with an Answer and `GET /SIZE` with as many
 * bytes; `PUT` with the number of bytes that came.
 */
export async function serveWeb(lab: Lab, base: string, port: number): Promise<void> {
  const program = `
    const plain = (address) => address.replace(/^::ffff:/, '');
    require('node:http').createServer((request, response) => {
      const { remoteAddress, localAddress } = request.socket;
      if (request.method === 'PUT') {
        let bytes = 0;
        request.on('data', (part) => { bytes += part.length; });
        request.on('end', () => response.end(String(bytes)));
      } else if (request.url === '/') response.end(JSON.stringify({ from: plain(remoteAddress), to: plain(localAddress) }));
      else response.end(Buffer.alloc(Number(request.url.slice(1)), 'weft '));
    }).listen(${port}, '::', () => console.log('listening'));`;
  const server = lab.background(base, [process.execPath, '-e', program]);
  await waitFor(`a web server in ${base}`, () => server.stdout.includes('listening'));
}

/** `http://ADDRESS:PORT/PATH`, with the brackets that IPv6 needs. */
export function url(address: string, port: number, path = ''): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}/${path}`;
}

/** The command that fetches a URL; fails within seconds when nobody answers. */
export function curl(target: string, ...options: string[]): string[] {
  return ['curl', '--silent', '--show-error', '--fail', '--noproxy', '*', '--max-time', '20', ...options, target];
}

/** What the server of `serveWeb` says to a compartment or namespace. */
export async function ask(lab: Lab, base: string, address: string, port: number): Promise<Answer> {
  return JSON.parse(await lab.inside(base, curl(url(address, port))));
}

/** Sends a datagram from a compartment or namespace and returns the first answer; fails when there is none within seconds. */
export async function exchangeUdp(
  lab: Lab,
  base: string,
  address: string,
  port: number,
  text: string,
): Promise<string> {
  const program = `
    const socket = require('node:dgram').createSocket('udp${address.includes(':') ? 6 : 4}');
    socket.on('error', (error) => { console.error(error.code); process.exit(1); });
    socket.on('message', (bytes) => { process.stdout.write(bytes); socket.close(); clearTimeout(late); });
    const late = setTimeout(() => { console.error('no answer'); process.exit(1); }, 5000);
    socket.connect(${port}, '${address}', () => socket.send(process.argv[1]));`;
  return await lab.inside(base, [process.execPath, '-e', program, text]);
}
