// Full transparency of layer 2 by default: whatever frame one endpoint sends, the others get, unchanged; and no frame of weft's
// own, nor of the host behind an internal network, appears unasked.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { frame, type Sniffer, sendFrames, sniff } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import { createPair, createSide, type Pair, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

/** Router solicitations go out at 0..1 s and then every 4 s (RFC 4861 section 10). */
const SOLICITATION_MS = 6_000;

describe('the switch is transparent:', function transparency() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;
  let third: Side;

  before(async () => {
    pair = await createPair(lab);
    third = await createSide(lab, { network: pair.network, subnet: pair.subnet, base: 'third', host: 30 });
  });

  /** Link-local control frames (IEEE 802.1Q table 8-1), which an 802.1D bridge would keep to itself. */
  function controlFrames(from: string): Record<string, Buffer> {
    const bpdu = Buffer.from('424203000002023e8000525400000001000000008000525400000001800100000014000200000f00', 'hex');
    const lldp = Buffer.from('020704525400000001040703525400000001060200780000', 'hex');
    const lacp = Buffer.concat([Buffer.from('010101148000525400000001000100ff00013d000000', 'hex')], 110);
    const to = (last: string) => `01:80:c2:00:00:${last}`;
    return {
      'STP (802.3 length, LLC)': frame({ to: to('00'), from, type: bpdu.length, payload: bpdu }),
      'MAC control (pause)': frame({ to: to('01'), from, type: 0x8808, payload: Buffer.from([0, 1, 0, 0]) }),
      LACP: frame({ to: to('02'), from, type: 0x8809, payload: lacp }),
      EAPOL: frame({ to: to('03'), from, type: 0x888e, payload: Buffer.from([1, 1, 0, 0]) }),
      'provider bridge group': frame({ to: to('08'), from, type: 0x88b5, payload: 'provider' }),
      LLDP: frame({ to: to('0e'), from, type: 0x88cc, payload: lldp }),
    };
  }

  /** Frames that name no bridge: they pass on every network. */
  function otherFrames(from: string): Record<string, Buffer> {
    return {
      'CDP (802.3 length, SNAP)': frame({
        to: '01:00:0c:cc:cc:cc',
        from,
        type: 30,
        payload: 'aaaa03 pretends to be CDP......',
      }),
      'PTP multicast': frame({ to: '01:1b:19:00:00:00', from, type: 0x88f7, payload: Buffer.alloc(44, 1) }),
      'GVRP group': frame({ to: '01:80:c2:00:00:21', from, type: 0x88f5, payload: 'mvrp' }),
      broadcast: frame({ to: 'ff:ff:ff:ff:ff:ff', from, payload: 'to everybody' }),
      'a tagged frame': frame({ to: 'ff:ff:ff:ff:ff:ff', from, tags: [0x6005], payload: 'vlan 5, priority 3' }),
      'a double-tagged frame': frame({ to: 'ff:ff:ff:ff:ff:ff', from, tags: [[100, 0x88a8], 200], payload: 'QinQ' }),
      'an unknown Ethertype': frame({ to: 'ff:ff:ff:ff:ff:ff', from, type: 0x9abc, payload: 'nobody knows' }),
      'an Ethertype below 0x0600 with a full payload': frame({
        to: '01:00:5e:00:00:fb',
        from,
        type: 1500,
        payload: Buffer.alloc(1500, 7),
      }),
      'a broken IPv4 header': frame({
        to: 'ff:ff:ff:ff:ff:ff',
        from,
        type: 0x0800,
        payload: Buffer.from([0x4f, 0, 255, 255]),
      }),
    };
  }

  function hex(frames: Record<string, Buffer>): string[] {
    return Object.values(frames).map((bytes) => bytes.toString('hex'));
  }

  async function dropped(reason: string): Promise<number> {
    const rows: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
    return rows.find((row) => row.reason === reason)?.frames ?? 0;
  }

  it('LLDP, LACP, STP and all the rest reach every other endpoint byte for byte', async () => {
    const from = '02:00:5e:00:53:01';
    const frames = { ...controlFrames(from), ...otherFrames(from) };
    const marker = frame({ to: 'ff:ff:ff:ff:ff:ff', from, payload: 'the end' });
    const sniffers = [await sniff(lab, pair.right.base, 'eth0', `ether src ${from}`)];
    sniffers.push(await sniff(lab, third.base, 'eth0', `ether src ${from}`));
    const back = await sniff(lab, pair.left.base, 'eth0', `ether src ${from}`);
    await sendFrames(lab, pair.left.base, 'eth0', [...Object.values(frames), marker]);
    for (const sniffer of sniffers) assert.deepEqual(await sniffer.until(marker), hex(frames));
    assert.deepEqual(await back.stop(), [], 'nothing comes back to the sender');
    for (const sniffer of sniffers) await sniffer.stop();
  });

  it('a known unicast frame reaches its destination alone, an unknown one all', async () => {
    const [from, station] = ['02:00:5e:00:53:02', '02:00:5e:00:53:03'];
    const question = frame({ to: station, from, payload: 'who has it?' });
    const answer = frame({ to: from, from: station, payload: 'I have' });
    const again = frame({ to: station, from, payload: 'then this is for you alone' });
    const marker = frame({ to: 'ff:ff:ff:ff:ff:ff', from, payload: 'the end' });
    const rightSide = await sniff(lab, pair.right.base, 'eth0');
    const thirdSide = await sniff(lab, third.base, 'eth0');
    await sendFrames(lab, pair.left.base, 'eth0', [question]);
    await waitFor('the question', () => rightSide.frames().includes(question.toString('hex')));
    await sendFrames(lab, pair.right.base, 'eth0', [answer]);
    await sendFrames(lab, pair.left.base, 'eth0', [again, marker]);
    assert.deepEqual(
      await rightSide.until(marker),
      [question, again].map((bytes) => bytes.toString('hex')),
    );
    assert.deepEqual(await thirdSide.until(marker), [question.toString('hex')]);
    for (const sniffer of [rightSide, thirdSide]) await sniffer.stop();
  });

  it('a network that filters control frames drops exactly those, and counts them', async () => {
    const filtered = await createPair(lab, { network: { controlFrames: 'filter' } });
    const from = '02:00:5e:00:53:04';
    const [control, other] = [controlFrames(from), otherFrames(from)];
    const marker = frame({ to: 'ff:ff:ff:ff:ff:ff', from, payload: 'the end' });
    const before = await dropped('control-filtered');
    const sniffer = await sniff(lab, filtered.right.base, 'eth0', `ether src ${from}`);
    await sendFrames(lab, filtered.left.base, 'eth0', [...Object.values(control), ...Object.values(other), marker]);
    assert.deepEqual(await sniffer.until(marker), hex(other));
    await waitFor(
      'the drops to be counted',
      async () => (await dropped('control-filtered')) - before >= hex(control).length,
    );
    assert.equal((await dropped('control-filtered')) - before, hex(control).length);
    await sniffer.stop();
  });

  it('isolated endpoints reach only those that are not isolated', async () => {
    const isolated = await createPair(lab, { endpoint: { isolated: true } });
    const { network, subnet } = isolated;
    const open = await createSide(lab, { network, subnet, base: 'open', host: 30 });
    assert.equal(await lab.pings(isolated.left.base, isolated.right.v4), false);
    for (const side of [isolated.left, isolated.right]) {
      assert.ok(await lab.pings(side.base, open.v4));
      assert.ok(await lab.pings(open.base, side.v6));
    }
  });

  describe('and silent:', () => {
    const kinds = [
      ['anything at all into a new internal network of IPv4', ['v4'], ''],
      // A host with an IPv6 address reports its multicast groups (RFC 4291 section 2.8, RFC 3810); that it may.
      [
        'anything but multicast listener reports into one of both',
        ['v4', 'v6'],
        'not (ip6[6] == 0 and ip6[48] == 143)',
      ],
    ] as const;
    const sniffers = new Map<string, Sniffer>();
    let both: string;

    before(async () => {
      for (const [sentence, families, filter] of kinds) {
        sniffers.set(sentence, await listenToNew(families, filter));
      }
      both = (await createPair(lab, { network: { type: 'internal' } })).network;
      await sleep(SOLICITATION_MS);
    });

    /** Listens to all that comes into a compartment on an internal network that was just made. */
    async function listenToNew(families: readonly ('v4' | 'v6')[], filter: string): Promise<Sniffer> {
      const subnet = lab.subnet();
      const name = lab.name(`quiet-${families.join('')}`);
      const base = `listener-${families.join('')}`;
      const all = { v4: `${subnet.v4}.0/24`, v6: `${subnet.v6}::/64` };
      await lab.addNamespace(base);
      await daemon.call('POST', '/v1/compartments', { name, netns: lab.path(base) });
      const subnets = families.map((family) => all[family]);
      await daemon.call('POST', '/v1/networks', { name, type: 'internal', subnets });
      await daemon.call('POST', '/v1/endpoints', { name, network: name, compartment: name, defaultRoute: false });
      return await sniff(lab, base, 'eth0', filter);
    }

    for (const [sentence] of kinds) {
      it(`neither weft nor the host sends ${sentence}`, async () => {
        assert.deepEqual(await sniffers.get(sentence)!.stop(), []);
      });
    }

    it('no router solicitation of the host was sent before anybody could listen either', async () => {
      const { hostInterface } = await daemon.call('GET', `/v1/networks/${both}`);
      const statistics = readFileSync(`/proc/net/dev_snmp6/${hostInterface}`, 'utf8');
      assert.match(statistics, /Icmp6OutRouterSolicits\s+0\n/);
    });
  });
});
