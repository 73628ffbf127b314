// slirp4netns in the router's namespace with its TAP in a: TCP and UDP end in libslirp and are carried on by sockets of the
// process. Two variants: the largest MTU it takes, which is what rootless container engines use because it is by far the fastest,
// and 1500, which is what frames of a real link have.
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { addNamespace, addService, inNamespace } from '../lab.js';
import { buildNatLab, PUBLISHED_PORTS, ROUTER } from '../nat-lab.js';
import { run, until } from '../processes.js';
import type { System } from './system.js';

/** The address that `--configure` gives the TAP. */
const GUEST = '10.0.2.100';
const IFNAME = 'tap0';

export const slirp4netns: System = variant('slirp4netns', 'slirp4netns, MTU 65520', 65520);
export const slirp1500: System = variant('slirp-1500', 'slirp4netns, MTU 1500', 1500);

function variant(name: string, title: string, mtu: number): System {
  return {
    name,
    title,
    programs: ['slirp4netns'],
    packages: ['slirp4netns'],
    version: async () => (await run('slirp4netns', ['--version'])).split('\n')[0]!,
    start: (bench) =>
      buildNatLab(bench, name, async (site, router) => {
        const namespace = await addNamespace(site, 'a');
        const api = join(site.directory, 'api.sock');
        const args = ['--configure', `--mtu=${mtu}`, '--netns-type=path', '--api-socket', api];
        const service = await addService(
          site,
          inNamespace(router, 'slirp4netns', ...args, `/run/netns/${namespace}`, IFNAME),
        );
        const isUp = async () => {
          if (service.hasEnded()) throw new Error('slirp4netns ended');
          return (await run('ip', ['-n', namespace, '-br', '-4', 'addr'])).includes(GUEST);
        };
        await until('slirp4netns and its TAP', isUp, 5000);
        for (const port of PUBLISHED_PORTS) await publish(api, port);
        return { namespace, ifname: IFNAME };
      }),
  };
}

/** slirp4netns.1, "API SOCKET": one JSON request per connection; the answer comes when our side is closed. */
async function publish(api: string, port: number): Promise<void> {
  const place = { proto: 'tcp', host_addr: ROUTER.address, host_port: port, guest_addr: GUEST, guest_port: port };
  const answer = await new Promise<string>((resolve, reject) => {
    let text = '';
    const socket = createConnection({ path: api, allowHalfOpen: true });
    socket.setTimeout(3000, () => socket.destroy(new Error('no answer from slirp4netns')));
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.once('error', reject);
    socket.once('end', () => resolve(text));
    socket.end(JSON.stringify({ execute: 'add_hostfwd', arguments: place }));
  });
  if (!answer.includes('"return"')) throw new Error(`slirp4netns: add_hostfwd ${port}: ${answer}`);
}
