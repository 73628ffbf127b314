/**
 * weft and the VXLAN device of the Linux kernel, behind which stations send UDP super-frames (UDP_SEGMENT, as QUIC stacks do). Over a veth
 * pair nobody cuts them: the super-frame comes to weft's VTEP in one datagram.
 *
 *   compartment `near` -- weft in `host` ==wire== vxlan in `other` -- bridge -- station `far`      VNI of the first network
 *                                             ==== vxlan in station `own` itself                  VNI of the second
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { ether } from '../support/frame-builders.js';
import { expectConservation } from '../support/system-conservation.js';
import { useLab } from '../support/system-lab.js';
import { addressesReady } from '../support/system-nat.js';
import {
  createHosts,
  type Family,
  type OverlayHost,
  UNDERLAY_IFNAME,
  UNDERLAY_MTU,
  type Underlay,
  VXLAN_OVERHEAD,
  VXLAN_PORT,
  vtepOf,
} from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';
import { vxlan } from '../support/vxlan-frames.js';

const PROGRAM = fileURLToPath(new URL('../support/system-datagrams-program.js', import.meta.url));
/** IP and UDP; and all that stands in front of their data in a datagram to weft's socket. */
const HEADERS = { v4: 28, v6: 48 };
const TUNNEL_HEADERS = 22;
const FORGED = '02:00:5e:00:00:99';
let cases = 0;

interface Station {
  base: string;
  v4: string;
  v6: string;
}

interface Tunnel {
  network: string;
  vni: number;
  near: Side;
  far: Station;
}

describe('weft and UDP super-frames from stations behind the VXLAN device of the kernel', function superFrames() {
  this.timeout(120_000);
  let hosts: [OverlayHost, OverlayHost];
  const lab = useLab(120_000, async (opened) => {
    for (const base of ['host', 'other']) await opened.addNamespace(base);
    hosts = (await createHosts(opened, ['host', 'other'])) as [OverlayHost, OverlayHost];
    opened.daemon.setHostNamespace(opened.path('host'));
  });

  for (const underlay of ['socket', 'tap'] as const) {
    for (const family of ['v4', 'v6'] as const) {
      describe(`over ${family === 'v4' ? 'IPv4' : 'IPv6'}, weft's underlay ${underlay}`, () => {
        const mtu = UNDERLAY_MTU - VXLAN_OVERHEAD[family];
        let tunnels: Tunnel[];

        before(async () => {
          tunnels = await Promise.all([true, false].map((isBridged) => connect(underlay, family, mtu, isBridged)));
        });

        after(async () => {
          for (const { network } of tunnels) await lab.daemon.call('DELETE', `/v1/networks/${network}?force=true`);
        });

        it('gives every datagram to its receiver, and to nobody else, whatever stands in it', async () => {
          const before = await malformed();
          await Promise.all(
            tunnels.map(async ({ near, far, vni }) => {
              const receiver = lab.background(near.base, [process.execPath, PROGRAM, 'receive']);
              const port = await waitFor('a receiver', () => receiver.stdout.trim() || false);
              const others = tunnels.find((tunnel) => tunnel.vni !== vni)!.vni;
              for (const inner of ['v4', 'v6'] as const) {
                const shapes = [...shapesFor(mtu - HEADERS[inner]), feigned(others, inner)];
                const arguments_ = ['send', near[inner], port, ...shapes];
                const printed = await lab.inside(far.base, [process.execPath, PROGRAM, ...arguments_]);
                assert.equal(printed, `${shapes.length}\n`);
              }
              await receiver.stop();
            }),
          );
          assert.equal(await malformed(), before);
          for (const { network } of tunnels) {
            const rows: { mac: string }[] = await lab.daemon.call('GET', `/v1/fdb?network=${network}`);
            assert.ok(!rows.some((row) => row.mac === FORGED), `${network}: ${JSON.stringify(rows)}`);
          }
          await expectConservation(lab.daemon);
        });
      });
    }
  }

  /** Segments and messages of many sizes: full and not, few and as many as there may be. */
  function shapesFor(largest: number): string[] {
    return [
      `${largest}:${10 * largest}`,
      `${largest}:${45 * largest + 100}`,
      '1200:24100',
      '1000:1016',
      `50:${60 * 50}`,
    ];
  }

  /** Where weft would look for the second of joined datagrams of 1000 bytes, there is one for VNI `vni`. */
  function feigned(vni: number, inner: Family): string {
    const frame = ether({ from: FORGED, to: 'ff:ff:ff:ff:ff:ff' }, 'into another network');
    const at = 1000 - TUNNEL_HEADERS - HEADERS[inner];
    return `1000:3000:${at}:${Buffer.from(vxlan(vni, frame.bytes)).toString('hex')}`;
  }

  async function malformed(): Promise<number> {
    const rows: { reason: string; frames: number }[] = await lab.daemon.call('GET', '/v1/drops');
    return rows.filter(({ reason }) => reason === 'vxlan-malformed').reduce((sum, { frames }) => sum + frames, 0);
  }

  /** A network with a compartment, and a station on the other host: behind a bridge, or with the vxlan device itself. */
  async function connect(underlay: Underlay, family: Family, mtu: number, isBridged: boolean): Promise<Tunnel> {
    const [host, other] = hosts;
    const number = cases++;
    const vni = 6000 + number;
    const network = lab.name(`gso${number}`);
    const subnet = lab.subnet();
    const far = { base: `far${number}`, v4: `${subnet.v4}.20`, v6: `${subnet.v6}::20` };
    const [local, remote] = [vtepOf(host, underlay, family), other.own[family]];
    const overlay = { vni, underlay, vtep: local, peers: [remote] };
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    await lab.daemon.call('POST', '/v1/networks', { name: network, type: 'overlay', subnets, overlay });
    const near = await createSide(lab, { network, subnet, base: `near${number}`, host: 10 });
    await lab.addNamespace(far.base);
    const station = lab.name(far.base);
    const [vx, br, veth] = ['vx', 'br', 've'].map((name) => `${name}${number}`) as [string, string, string];
    const ip = (...args: string[]) => lab.inside(other.base, ['ip', ...args]);
    const tunnel = ['id', String(vni), 'local', remote, 'remote', local, 'dev', UNDERLAY_IFNAME];
    await ip('link', 'add', vx, 'type', 'vxlan', ...tunnel, 'dstport', String(VXLAN_PORT));
    if (isBridged) {
      await ip('link', 'add', br, 'type', 'bridge', 'stp_state', '0');
      await ip('link', 'set', br, 'addrgenmode', 'none', 'up');
      await ip('link', 'add', veth, 'mtu', String(mtu), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', station);
      for (const port of [vx, veth]) {
        await ip('link', 'set', port, 'addrgenmode', 'none');
        await ip('link', 'set', port, 'master', br, 'up');
      }
    } else {
      await ip('link', 'set', vx, 'netns', station, 'name', 'eth0');
    }
    await lab.inside(far.base, ['ip', 'link', 'set', 'dev', 'eth0', 'mtu', String(mtu), 'up']);
    for (const address of [[`${far.v4}/24`], [`${far.v6}/64`, 'nodad']]) {
      await lab.inside(far.base, ['ip', 'address', 'add', ...address, 'dev', 'eth0']);
    }
    for (const base of [near.base, far.base]) await addressesReady(lab, base);
    return { near, far, network, vni };
  }
});
