/** For each reason for which the router and the NAT drop a lab in which exactly one frame is dropped, for this reason. */
import { ether, ipv4, pattern, raw, TCP_SYN, tcp, udp } from '../support/frame-builders.js';
import { createLab, type Lab, seconds } from '../support/lab.js';
import { EXTERNAL, NatLab, REMOTE, STATIONS } from '../support/nat-lab.js';
import { icmpError } from '../support/network-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { fromWeb, routedLab, V4 } from './routed.js';
import { WEB } from './stations.js';

const ALICE = STATIONS.alice.v4;
const BOB = STATIONS.bob.v4;

export const ROUTER_CASES = {
  'bad-ip': () => routed(ipv4(V4, raw(6, pattern(12)))),
  'bad-ip-source': () => routed(ipv4({ ...V4, from: '127.0.0.1' }, udp(1, 2))),
  'ttl-expired': () => routed(ipv4({ ...V4, ttl: 1 }, udp(1, 2))),
  'no-route': () => routed(ipv4({ ...V4, to: '198.51.100.1' }, udp(1, 2))),
  'no-neighbour': () => {
    const lab = routed(ipv4({ ...V4, to: '10.0.1.99' }, udp(1, 2)));
    for (let n = 0; n < 3; n++) {
      lab.advance(seconds(1));
      lab.run();
    }
    return lab;
  },
  'neighbour-queue-full': () => {
    const packet = fromWeb(ipv4({ ...V4, to: '10.0.1.99' }, udp(1, 2)));
    const lab = routedLab();
    lab.send('web', ...Array.from({ length: 33 }, () => packet));
    return lab;
  },
  'too-big': () => {
    const lab = routedLab({ mtu: 1000 });
    lab.send('web', fromWeb(ipv4(V4, udp(1, 2, pattern(1000)))));
    return lab;
  },
  'no-service': () => routed(ipv4({ ...V4, to: '10.0.0.1' }, udp(1, 2))),
  'bad-fragment': () => routed(ipv4({ ...V4, flags: 0x2000 }, raw(6, pattern(8)))),
  'service-limit': () => {
    const lab = createLab({ ports: ['web'], gateway: { addresses: ['10.0.0.1/24'], dhcp: true } });
    const request = ether({ from: WEB, to: gatewayMac(0) }, ipv4({ from: '10.0.0.2', to: '10.0.0.1' }, udp(68, 67)));
    lab.send('web', ...Array.from({ length: 9 }, () => request));
    lab.takePunted();
    return lab;
  },
};

export const NAT_CASES = {
  'nat-no-mapping': () => natted('world', ipv4({ from: REMOTE, to: EXTERNAL }, udp(53, 5000))),
  'nat-filtered': () => {
    const nat = new NatLab({ mapping: 'independent', filtering: 'address' });
    nat.send('alice', ipv4({ from: ALICE, to: REMOTE }, udp(4000, 53)));
    const { sourcePort } = nat.takeOne('world');
    nat.send('world', ipv4({ from: '198.51.100.99', to: EXTERNAL }, udp(53, sourcePort)));
    return nat.lab;
  },
  'nat-no-session': () => natted('alice', ipv4({ from: ALICE, to: REMOTE }, tcp({ flags: 0x04 }))),
  'nat-protocol': () => natted('alice', ipv4({ from: ALICE, to: REMOTE }, raw(47, 'gre'))),
  'nat-no-port': () => {
    const nat = new NatLab({ ports: [1024, 1024] });
    nat.send('alice', ipv4({ from: ALICE, to: REMOTE }, udp(4000, 53)));
    nat.send('bob', ipv4({ from: BOB, to: REMOTE }, udp(4000, 53)));
    return nat.lab;
  },
  'nat-table-full': () => {
    const nat = new NatLab({ flowLimit: 1 << 20 });
    // The table of a lab has room for 4096, of which one address may not have the last 128.
    for (let n = 0; n <= 3968; n += 241) {
      const count = Math.min(241, 3969 - n);
      const packets = Array.from({ length: count }, (_, i) => ipv4({ from: ALICE, to: REMOTE }, udp(2000 + n + i, 53)));
      nat.send('alice', ...packets);
    }
    return nat.lab;
  },
  'nat-flow-limit': () => {
    const nat = new NatLab({ flowLimit: 1 });
    for (const port of [4000, 4001]) nat.send('alice', ipv4({ from: ALICE, to: REMOTE }, udp(port, 53)));
    return nat.lab;
  },
  'nat-syn-held': () => {
    const syn = ipv4({ from: REMOTE, to: EXTERNAL }, tcp({ from: 4000, to: 5000, flags: TCP_SYN }));
    return natted('world', syn, syn);
  },
  'nat-bad-icmp': () => {
    const about = ipv4({ from: EXTERNAL, to: REMOTE }, udp(4000, 53));
    return natted('world', ipv4({ from: REMOTE, to: EXTERNAL }, icmpError(3, 3, about)));
  },
  'fragments-full': () => {
    // Later parts of as many packets as one sender may have waiting, and one more.
    const part = (id: number) => ipv4({ from: ALICE, to: REMOTE, id, flags: 0x2000 | 185 }, raw(17, pattern(80)));
    return natted('alice', ...Array.from({ length: 65 }, (_, id) => part(id)));
  },
};

function routed(...packets: Parameters<typeof fromWeb>[0][]): Lab {
  const lab = routedLab();
  lab.send('web', ...packets.map(fromWeb));
  return lab;
}

function natted(from: 'alice' | 'world', ...packets: Parameters<typeof fromWeb>[0][]): Lab {
  const nat = new NatLab();
  nat.send(from, ...packets);
  return nat.lab;
}
