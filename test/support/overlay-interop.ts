/**
 * What must work between a station behind weft and one behind another VTEP, whoever that is: one suite, run over every peer, both
 * families of the underlay and both underlays of weft.
 *
 *   compartment `near` -- weft in `host` ==wire== `other`: the peer -- station `far`
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { judgeChecksums } from './checksum-judge.js';
import type { OverlayPeer } from './overlay-peers.js';
import type { Lab, Subnet } from './system-lab.js';
import { addressesReady } from './system-nat.js';
import {
  type Family,
  finishOnTheWire,
  type OverlayHost,
  UNDERLAY_IFNAME,
  UNDERLAY_MTU,
  type Underlay,
  VXLAN_OVERHEAD,
  VXLAN_PORT,
  vtepOf,
} from './system-overlay.js';
import { createSide, type Side } from './system-pair.js';
import { type Background, waitFor } from './system-process.js';
import { startTransfer } from './system-transfer.js';
import { WireCapture } from './wire-capture.js';

export interface InteropCase {
  underlay: Underlay;
  family: Family;
  /** Whether weft learns what is behind the peer; else it is told, and so is the peer. */
  isLearning: boolean;
}

/** Bytes of an echo request in front of its payload, by the family of the packet. */
const ECHO_HEADERS = { v4: 28, v6: 48 };
/** How far around the MTU sizes are tried; and some payloads that make frames around Ethernet's minimum. */
const AROUND = 12;
const SMALLEST = [0, 1, 2, 3, 4, 8, 16, 17, 18, 19];
const TRANSFER_BYTES = 8e6;
const JUDGED_BYTES = 2e6;
const GROUPS = { v4: '239.1.2.3', v6: 'ff15::1:2:3' };
let cases = 0;

/** Defines the suite for one case; `lab`, `host` and `peer` exist when its hooks run. */
export function describeInterop(
  lab: Lab,
  { underlay, family, isLearning }: InteropCase,
  parts: () => { host: OverlayHost; other: OverlayHost; peer: OverlayPeer },
): void {
  describe(`over ${family === 'v4' ? 'IPv4' : 'IPv6'}, weft's underlay ${underlay}`, () => {
    const number = cases++;
    const vni = 5000 + number;
    const mtu = UNDERLAY_MTU - VXLAN_OVERHEAD[family];
    const network = lab.name(`ov${number}`);
    const ifname = `far${number}`;
    const subnet: Subnet = lab.subnet();
    const far = { base: `far${number}`, ifname, v4: `${subnet.v4}.20`, v6: `${subnet.v6}::20`, mac: '' };
    let near: Side;
    let local: string;
    let remote: string;

    before(async () => {
      const { host, other, peer } = parts();
      [local, remote] = [vtepOf(host, underlay, family), other.own[family]];
      const overlay = { vni, underlay, vtep: local, peers: [remote], learning: isLearning };
      const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
      const created = await lab.daemon.call('POST', '/v1/networks', {
        name: network,
        type: 'overlay',
        subnets,
        overlay,
      });
      assert.equal(created.mtu, mtu, 'what the underlay leaves');
      near = await createSide(lab, { network, subnet, base: `near${number}`, host: 10 });
      await lab.addNamespace(far.base);
      const addressed = { local: remote, remote: local, station: far.base, ifname, mtu };
      await peer.connect({ vni, ...addressed, macs: [near.mac, created.gatewayMac].filter(Boolean) });
      for (const address of [`${far.v4}/24`, `${far.v6}/64`]) {
        await lab.inside(far.base, ['ip', 'address', 'add', address, 'dev', ifname]);
      }
      await lab.inside(far.base, ['ip', 'link', 'set', 'dev', ifname, 'up']);
      far.mac = (await lab.links(far.base))[0]!.mac;
      if (!isLearning) {
        const station = { name: lab.name(`far${number}`), network, vtep: remote, mac: far.mac, ip: [far.v4, far.v6] };
        await lab.daemon.call('POST', '/v1/endpoints', station);
      }
      for (const base of [near.base, far.base]) await addressesReady(lab, base);
    });

    after(async () => {
      await lab.daemon.call('DELETE', `/v1/networks/${network}?force=true`);
      await parts().peer.disconnect();
    });

    it('resolves neighbours by ARP and ND, and both sides know who is where', async () => {
      for (const [from, to] of ways()) {
        for (const [inner, address] of [
          ['v4', to.v4],
          ['v6', to.v6],
        ] as const) {
          await lab.inside(from.base, ['ip', 'neigh', 'flush', 'dev', from.ifname]);
          assert.ok(await lab.pings(from.base, address), `${from.base} reaches ${to.base} over ${inner}`);
          const rows = JSON.parse(await lab.inside(from.base, ['ip', '-j', 'neigh', 'show', address]));
          assert.equal(rows[0]?.lladdr, to.mac);
        }
      }
      const behind = await parts().peer.stationsBehind(local);
      assert.ok(behind.includes(near.mac), `the peer knows ${near.mac}: ${behind.join(' ')}`);
      const rows: { mac: string; vtep: string | null; origin: string }[] = await lab.daemon.json(
        ...['fdb', 'list', '--network', network],
      );
      const row = rows.find(({ mac }) => mac === far.mac);
      assert.deepEqual([row?.vtep, row?.origin], [remote, isLearning ? 'learned' : 'static'], JSON.stringify(rows));
    });

    it('finds out that an address is in use on the other side', async () => {
      for (const [from, to] of ways()) {
        await lab.inside(from.base, ['ip', 'address', 'add', `${to.v6}/128`, 'dev', from.ifname]);
        await waitFor(`${to.v6} to be refused in ${from.base}`, async () =>
          (await lab.inside(from.base, ['ip', '-6', 'address', 'show', 'to', to.v6])).includes('dadfailed'),
        );
        await lab.inside(from.base, ['ip', 'address', 'del', `${to.v6}/128`, 'dev', from.ifname]);
      }
    });

    it('carries pings of every size around the MTU, whole up to it and in fragments above', async () => {
      for (const [from, to] of ways()) {
        for (const inner of ['v4', 'v6'] as const) {
          const largest = mtu - ECHO_HEADERS[inner];
          const whole = [...SMALLEST, ...range(largest - AROUND, largest)];
          const tooLarge = [largest + 1];
          const fragmented = range(largest + 1, largest + AROUND);
          const unanswered = {
            whole: await unansweredSizes(from.base, to[inner], 'do', whole),
            tooLarge: await unansweredSizes(from.base, to[inner], 'do', tooLarge, [0.5]),
            fragmented: await unansweredSizes(from.base, to[inner], 'dont', fragmented),
          };
          assert.deepEqual(unanswered, { whole: [], tooLarge, fragmented: [] }, `${from.base} to ${to[inner]}`);
        }
      }
    });

    it('carries multicast', async () => {
      for (const [from, to] of ways()) {
        for (const inner of ['v4', 'v6'] as const) {
          const text = `${from.base} to all, ${inner}`;
          const listener = await listenToGroup(to, inner);
          await waitFor(`${to.base} to hear ${text}`, async () => {
            await sendToGroup(from, inner, text);
            return listener.stdout.includes(text);
          });
          await listener.stop();
        }
      }
    });

    it('carries TCP with good checksums, inner and outer, on the wire', async () => {
      const { host, other } = parts();
      for (const one of [host, other]) await finishOnTheWire(lab, one);
      for (const [from, to] of ways()) {
        for (const inner of ['v4', 'v6'] as const) {
          const wire = await WireCapture.start(lab, other.base, UNDERLAY_IFNAME, `udp port ${VXLAN_PORT}`);
          await transfer(from.base, to.base, to[inner], JUDGED_BYTES);
          const { vxlan, good } = await judgeChecksums(await wire.finish());
          assert.ok(vxlan > 500 && good.tcp > 500, `${vxlan} VXLAN packets, ${JSON.stringify(good)} good checksums`);
        }
      }
    });

    it('carries TCP in super-frames where the peer takes them, and shows both headers in captures of weft', async () => {
      const { host, other, peer } = parts();
      if (peer.takesSuperFrames) for (const one of [host, other]) await finishOnTheWire(lab, one, false);
      const captures = await startCaptures();
      for (const [from, to] of ways()) {
        for (const inner of ['v4', 'v6'] as const) await transfer(from.base, to.base, to[inner], TRANSFER_BYTES);
      }
      for (const { name, file, isOuter } of captures) {
        await lab.daemon.call('POST', `/v1/captures/${name}/stop`);
        const { packets, vxlan, good } = await judgeChecksums(file);
        assert.ok(good.tcp > 50, `${name}: ${JSON.stringify(good)} good checksums`);
        assert.equal(vxlan, isOuter ? packets : 0, `${name}: ${packets} packets`);
      }
    });

    type Station = { base: string; ifname: string; v4: string; v6: string; mac: string };

    /** Both directions. */
    function ways(): [Station, Station][] {
      const here = { ...near, ifname: 'eth0' };
      return [
        [here, far],
        [far, here],
      ];
    }

    /**
     * The sizes of which no echo request was answered. Each has a second chance, for on a busy machine one may be late, unless none is to be
     * answered: then ping would wait in vain.
     */
    async function unansweredSizes(
      base: string,
      address: string,
      discovery: string,
      sizes: number[],
      waits = [2, 2],
    ): Promise<number[]> {
      const pings = waits.map((seconds) => `ping -n -q -c 1 -W ${seconds} -M ${discovery} -s $size ${address}`);
      const once = `{ ${pings.join(' || ')}; } > /dev/null 2>&1`;
      const script = `for size in ${sizes.join(' ')}; do ${once} || echo $size; done`;
      const text = await lab.inside(base, ['sh', '-c', script], { timeoutMs: 120_000 });
      return text === '' ? [] : text.trimEnd().split('\n').map(Number);
    }

    async function transfer(from: string, to: string, address: string, bytes: number): Promise<void> {
      await (await startTransfer(lab, { from, to, address, bytes })).finish();
    }

    /** Inner frames: the network. Outer frames: everything that weft has, but for what is not in a tunnel. */
    async function startCaptures(): Promise<{ name: string; file: string; isOuter: boolean }[]> {
      const start = async (name: string, request: object, isOuter: boolean) => {
        const file = join(lab.directory, `${name}-${number}.pcapng`);
        await lab.daemon.call('POST', '/v1/captures', { name: `${name}-${number}`, file, ...request });
        return { name: `${name}-${number}`, file, isOuter };
      };
      return [
        await start('inner', { network }, false),
        await start('outer', { all: true, filter: 'udp port 4789' }, true),
      ];
    }

    async function listenToGroup(station: Station, inner: 'v4' | 'v6'): Promise<Background> {
      const interfaceOf = { v4: station.v4, v6: `::%${station.ifname}` }[inner];
      const program = `
        const socket = require('node:dgram').createSocket({ type: 'udp${inner === 'v4' ? 4 : 6}', reuseAddr: true });
        socket.on('message', (bytes) => console.log(bytes.toString()));
        socket.bind(5353, () => { socket.addMembership('${GROUPS[inner]}', '${interfaceOf}'); console.log('listening'); });`;
      const listener = lab.background(station.base, [process.execPath, '-e', program]);
      await waitFor(`a listener in ${station.base}`, () => listener.stdout.includes('listening'));
      return listener;
    }

    async function sendToGroup(station: Station, inner: 'v4' | 'v6', text: string): Promise<void> {
      const interfaceOf = { v4: station.v4, v6: `::%${station.ifname}` }[inner];
      const program = `
        const socket = require('node:dgram').createSocket('udp${inner === 'v4' ? 4 : 6}');
        socket.bind(0, () => {
          socket.setMulticastInterface('${interfaceOf}');
          socket.send('${text}', 5353, '${GROUPS[inner]}', () => socket.close());
        });`;
      await lab.inside(station.base, [process.execPath, '-e', program]);
    }
  });
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
