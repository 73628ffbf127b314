// pasta (of passt) in the router's namespace with its TAP in a: like slirp4netns it ends TCP and UDP and carries them on by
// sockets. As it comes: MTU 65520.
import { addNamespace, addService, inNamespace } from '../lab.js';
import { buildNatLab, INSIDE, PUBLISHED_PORTS, ROUTER } from '../nat-lab.js';
import { run, until } from '../processes.js';
import type { System } from './system.js';

const IFNAME = 'pa';

export const pasta: System = {
  name: 'pasta',
  title: 'pasta of passt, MTU 65520',
  programs: ['pasta', 'dpkg-query'],
  packages: ['passt'],
  // Debian's pasta does not know its own version.
  version: async () => /^ii +passt +(\S+)/m.exec(await run('dpkg-query', ['--list', 'passt']))?.[1] ?? 'unknown',
  start: (bench) =>
    buildNatLab(bench, 'pasta', async (site, router) => {
      const namespace = await addNamespace(site, 'a');
      const { address, gateway, prefixLength } = INSIDE;
      const place = ['--config-net', '--ns-ifname', IFNAME, '--interface', ROUTER.ifname, '--ipv4-only', '--no-map-gw'];
      place.push('--address', address, '--netmask', String(prefixLength), '--gateway', gateway);
      place.push(
        '--tcp-ports',
        PUBLISHED_PORTS.join(','),
        '--udp-ports',
        'none',
        '--tcp-ns',
        'none',
        '--udp-ns',
        'none',
      );
      const args = ['--foreground', '--netns-only', '--runas', '0', ...place, '--netns', `/run/netns/${namespace}`];
      const service = await addService(site, inNamespace(router, 'pasta', ...args));
      const isUp = async () => {
        if (service.hasEnded()) throw new Error('pasta ended');
        return (await run('ip', ['-n', namespace, '-br', '-4', 'addr'])).includes(address);
      };
      await until('pasta and its TAP', isUp, 5000);
      return { namespace, ifname: IFNAME };
    }),
};
