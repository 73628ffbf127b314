/**
 * A hostile underlay against a running daemon: malformed, truncated, forged and random datagrams for a VTEP that two tenants share. Each
 * is dropped by name (or by the kernel in front of a socket), and the tenant that nobody may send to sees none of them.
 */
import assert from 'node:assert/strict';
import { Prng } from '../../src/lib/prng.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  ipv4,
  ipv6,
  join,
  long,
  type Packet,
  raw,
  type Transport,
  udp,
  word,
} from '../support/frame-builders.js';
import { expectConservation } from '../support/system-conservation.js';
import { type Sniffer, sendFrames, sniff } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import {
  createHosts,
  type Family,
  type OverlayHost,
  UNDERLAY_IFNAME,
  type Underlay,
  VXLAN_PORT,
  vtepOf,
} from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

const SEED = 7348;
const FUZZED = 6_000;
/** How many are sent before the test waits until the daemon has had them: fewer than a socket's buffer holds. */
const FUZZ_BATCH = 1000;
const INNER_MAC = '02:ba:d0:00:00:01';
const VALID = 0x08;
/** Of the drops, those that have to do with tunnels. */
const TUNNEL_DROPS = /^(vxlan-|remotes-full|split-horizon)/;

describe('a hostile underlay', function hostile() {
  this.timeout(120_000);
  let host: OverlayHost;
  let attacker: OverlayHost;
  const lab = useLab(120_000, async (opened) => {
    for (const base of ['host', 'attacker']) await opened.addNamespace(base);
    [host, attacker] = (await createHosts(opened, ['host', 'attacker'])) as [OverlayHost, OverlayHost];
    opened.daemon.setHostNamespace(opened.path('host'));
  });
  const { daemon } = lab;
  let suites = 0;

  for (const underlay of ['socket', 'tap'] as const) {
    for (const family of ['v4', 'v6'] as const) describeAttack(underlay, family);
  }

  function describeAttack(underlay: Underlay, family: Family): void {
    describe(`of family ${family}, in front of a VTEP of kind ${underlay}`, () => {
      const number = suites++;
      const [openVni, closedVni] = [0x700000 + number, 0x710000 + number];
      const [openSubnet, closedSubnet] = [lab.subnet(), lab.subnet()];
      const isTap = underlay === 'tap';
      let vtep: string;
      /** Who may send to the closed network; nobody has the address. */
      let friend: string;
      let open: Side;
      let closed: Side;
      let openEars: Sniffer;
      let closedEars: Sniffer;
      let markers = 0;

      before(async () => {
        vtep = vtepOf(host, underlay, family);
        friend = attacker.spare[family];
        const request = { type: 'overlay', underlay, vtep };
        const subnets = (subnet: { v4: string; v6: string }) => [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
        const names = [lab.name(`open${number}`), lab.name(`closed${number}`)] as const;
        await daemon.call('POST', '/v1/networks', {
          ...request,
          ...{ name: names[0], vni: openVni, subnets: subnets(openSubnet) },
        });
        await daemon.call('POST', '/v1/networks', {
          ...request,
          ...{ name: names[1], vni: closedVni, subnets: subnets(closedSubnet), peers: [friend], peersClosed: true },
        });
        open = await createSide(lab, { network: names[0], subnet: openSubnet, base: `open${number}`, host: 10 });
        closed = await createSide(lab, { network: names[1], subnet: closedSubnet, base: `closed${number}`, host: 10 });
        openEars = await sniff(lab, open.base, 'eth0', `ether src ${INNER_MAC}`);
        // Whatever comes, but for what weft's gateway itself says there.
        closedEars = await sniff(lab, closed.base, 'eth0', `not ether src ${gatewayMac(closedVni)}`);
      });

      after(async () => {
        for (const kind of ['open', 'closed']) {
          await daemon.call('DELETE', `/v1/networks/${lab.name(`${kind}${number}`)}?force=true`);
        }
      });

      it('is dropped by name, datagram by datagram', async () => {
        const inner = innerFrame('attack');
        const own = isTap || family === 'v6' ? 'vxlan-own-address' : 'the kernel';
        const kernel = (name: string) => (isTap ? name : 'the kernel');
        const cases: [string, Outer, string][] = [
          ['without payload', { payload: [] }, 'vxlan-malformed'],
          ['with half a VXLAN header', { payload: vxlan(openVni).subarray(0, 7) }, 'vxlan-malformed'],
          ['without a frame', { payload: vxlan(openVni) }, 'vxlan-malformed'],
          ['with half an Ethernet header', { payload: join(vxlan(openVni), inner.subarray(0, 13)) }, 'vxlan-malformed'],
          ['without the I flag', { payload: join(vxlan(openVni, 0), inner) }, 'vxlan-flags'],
          ['with every flag but I', { payload: join(vxlan(openVni, 0xf7), inner) }, 'vxlan-flags'],
          ['with reserved flags', { payload: join(vxlan(openVni, 0xff), inner) }, 'delivered'],
          ['with reserved bytes', { payload: join([VALID, 1, 2, 3], long(openVni * 256 + 255), inner) }, 'delivered'],
          ['for a VNI of nobody', { payload: join(vxlan(openVni + 0x8000), inner) }, 'vxlan-unknown-vni'],
          ['for a tenant that is closed', { payload: join(vxlan(closedVni), inner) }, 'vxlan-unknown-vtep'],
          ['in the name of the VTEP itself', { from: vtep, payload: join(vxlan(openVni), inner) }, own],
          ['in the name of another VTEP', { from: friend, payload: join(vxlan(openVni), inner) }, 'delivered'],
          [
            'with a wrong checksum',
            { checksum: 0x1234, payload: join(vxlan(openVni), inner) },
            kernel('vxlan-checksum'),
          ],
          ['nested', { payload: join(vxlan(openVni), nested(inner)) }, 'delivered'],
        ];
        if (family === 'v4')
          cases.push(['without checksum', { checksum: 0, payload: join(vxlan(openVni), inner) }, 'delivered']);
        for (const [title, outer, fate] of cases) {
          const before = await tunnelDrops();
          const heard = await openFrames();
          await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, [datagram(outer).bytes]);
          const delivered = (await openFrames()).length - heard.length;
          const dropped = differences(before, await tunnelDrops());
          const expected = {
            delivered: fate === 'delivered' ? 1 : 0,
            dropped: TUNNEL_DROPS.test(fate) ? { [fate]: 1 } : {},
          };
          assert.deepEqual({ delivered, dropped }, expected, `a datagram ${title}`);
        }
      });

      it('in fragments is dropped by name, or put together by the kernel in front of a socket', async () => {
        const before = await tunnelDrops();
        const heard = await openFrames();
        const whole = join(vxlan(openVni), innerFrame('x'.repeat(400)));
        await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, fragments(whole, 128));
        const delivered = (await openFrames()).length - heard.length;
        const dropped = differences(before, await tunnelDrops());
        const expected = isTap ? { delivered: 0, dropped: { 'vxlan-fragment': 4 } } : { delivered: 1, dropped: {} };
        assert.deepEqual({ delivered, dropped }, expected);
      });

      it('does not make the router of one tenant lead to another', async () => {
        const before = await openFrames();
        const packets: Packet[] = [
          ipv4({ from: `${openSubnet.v4}.66`, to: closed.v4 }, udp(4000, 9, 'crossing')),
          ipv6({ from: `${openSubnet.v6}::66`, to: closed.v6 }, udp(4000, 9, 'crossing')),
        ];
        const frames = packets.map((packet) => ether({ from: INNER_MAC, to: gatewayMac(openVni) }, packet).bytes);
        const datagrams = frames.map((frame) => datagram({ payload: join(vxlan(openVni), frame) }).bytes);
        await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, datagrams);
        assert.equal((await openFrames()).length, before.length, 'nor is it handed to the stations of the first');
        await closedHeardNothing();
      });

      it(`of ${FUZZED} random datagrams leaves every one accounted for, and the other tenant in peace`, async () => {
        const prng = new Prng(SEED + number);
        const restartsBefore = await restarts();
        const before = await tunnelDrops();
        for (let sent = 0; sent < FUZZED; sent += FUZZ_BATCH) {
          const batch = Array.from({ length: FUZZ_BATCH }, () => fuzzed(prng));
          await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, batch);
          await openFrames();
        }
        const dropped = differences(before, await tunnelDrops());
        for (const reason of ['vxlan-malformed', 'vxlan-flags', 'vxlan-unknown-vni', 'vxlan-unknown-vtep']) {
          assert.ok((dropped[reason] ?? 0) > 0, `seed ${SEED + number}: ${reason} in ${JSON.stringify(dropped)}`);
        }
        await closedHeardNothing();
        await expectConservation(daemon);
        assert.equal(await restarts(), restartsBefore, 'the datapath never stopped');
      });

      /** What the closed tenant hears of the friend arrives, and it arrived first. */
      async function closedHeardNothing(): Promise<void> {
        const marker = innerFrame(`marker ${markers++} for the closed tenant`);
        const bytes = datagram({ from: friend, payload: join(vxlan(closedVni), marker) }).bytes;
        await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, [bytes]);
        const heard = await closedEars.until(marker);
        const others = heard.filter((hex) => !hex.includes(Buffer.from('for the closed tenant').toString('hex')));
        assert.deepEqual(others, []);
      }

      /** What the stations of the open tenant have heard of the attacker but for markers, one of which is sent and awaited first. */
      async function openFrames(): Promise<string[]> {
        const text = `marker ${markers++}`;
        const marker = innerFrame(text);
        await sendFrames(lab, attacker.base, UNDERLAY_IFNAME, [
          datagram({ payload: join(vxlan(openVni), marker) }).bytes,
        ]);
        const heard = await openEars.until(marker);
        return heard.filter((hex) => !hex.includes(Buffer.from('marker ').toString('hex')));
      }

      interface Outer {
        from?: string;
        /** In place of the right one. */
        checksum?: number;
        payload: Uint8Array | readonly number[];
      }

      function datagram({ from = attacker.own[family], checksum, payload }: Outer): BuiltFrame {
        const transport = udp(50_000, VXLAN_PORT, Uint8Array.from(payload));
        const frame = ether(linkAddresses(), packet(from, transport));
        if (checksum !== undefined) frame.bytes.set(word(checksum), frame.l4At + frame.checksumOffset);
        return frame;
      }

      function linkAddresses() {
        return { from: attacker.mac, to: host.mac };
      }

      function packet(from: string, transport: Transport): Packet {
        return family === 'v4' ? ipv4({ from, to: vtep }, transport) : ipv6({ from, to: vtep }, transport);
      }

      /** A datagram with `payload` in pieces of `size` bytes (a multiple of 8), RFC 791 section 3.2 and RFC 8200 section 4.5. */
      function fragments(payload: Uint8Array, size: number): Uint8Array[] {
        const whole = packet(attacker.own[family], udp(50_000, VXLAN_PORT, payload));
        const data = whole.bytes.subarray(whole.l4At);
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < data.length; at += size) {
          const piece = data.subarray(at, at + size);
          const isLast = at + size >= data.length;
          const fields = { from: attacker.own[family], to: vtep, id: 0x7348 };
          const header = [17, 0, ...word(at | (isLast ? 0 : 1)), ...long(0x7348)];
          const fragment =
            family === 'v4'
              ? ipv4({ ...fields, flags: (at / 8) | (isLast ? 0 : 0x2000) }, raw(17, piece))
              : ipv6(fields, raw(44, join(header, piece)));
          pieces.push(ether(linkAddresses(), fragment).bytes);
        }
        return pieces;
      }

      /** A frame that holds a datagram for the VTEP with a frame for the closed tenant. */
      function nested(inner: Uint8Array): Uint8Array {
        const within = packet(friend, udp(50_000, VXLAN_PORT, join(vxlan(closedVni), inner)));
        return ether({ from: INNER_MAC, to: BROADCAST }, within).bytes;
      }

      /** Some kind of nearly good datagram, damaged; the outer headers are good, or neither kernel nor VTEP would look further. */
      function fuzzed(prng: Prng): Uint8Array {
        const inner = prng.below(2) === 0 ? innerFrame('fuzz') : nested(innerFrame('fuzz'));
        const vni = [openVni, closedVni, openVni + 0x8000][prng.below(3)]!;
        const payload = join(vxlan(vni), inner, new Uint8Array(prng.below(200)));
        for (let damages = prng.below(5); damages > 0; damages--) {
          // Mostly in the headers.
          const at = prng.below(prng.below(4) === 0 ? payload.length : 24);
          payload[at] = prng.below(256);
        }
        const cut = prng.below(3) === 0 ? prng.below(payload.length + 1) : payload.length;
        return datagram({ payload: payload.subarray(0, cut) }).bytes;
      }
    });
  }

  /** How often the datapath has died. */
  async function restarts(): Promise<number> {
    const events: { type: string }[] = await daemon.call('GET', '/v1/events');
    return events.filter(({ type }) => type === 'worker-restarted').length;
  }

  /** Drops of tunnels by name. The counts are published some time after the fact: what the daemon has had is waited for. */
  async function tunnelDrops(): Promise<Map<string, number>> {
    let last = '';
    return await waitFor('the counts of drops to stand still', async () => {
      const rows: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
      const counts = new Map(
        rows.filter(({ reason }) => TUNNEL_DROPS.test(reason)).map((row) => [row.reason, row.frames]),
      );
      const now = JSON.stringify([...counts]);
      const stands = now === last;
      last = now;
      return stands && counts;
    });
  }
});

/** RFC 7348 section 5. */
function vxlan(vni: number, flags = VALID): Uint8Array {
  return join([flags, 0, 0, 0], long(vni * 256));
}

function innerFrame(text: string): Uint8Array {
  return join(ether({ from: INNER_MAC, to: BROADCAST }, text.padEnd(46, '.')).bytes);
}

/** Of the distributed gateway, the same on every host. */
function gatewayMac(vni: number): string {
  return [
    '02',
    '57',
    '45',
    ...long(vni)
      .slice(1)
      .map((byte) => byte.toString(16).padStart(2, '0')),
  ].join(':');
}

function differences(before: Map<string, number>, after: Map<string, number>): Record<string, number> {
  const changed = [...after].map(([reason, count]) => [reason, count - (before.get(reason) ?? 0)] as const);
  return Object.fromEntries(changed.filter(([, count]) => count !== 0));
}
