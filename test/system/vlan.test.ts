// VLANs: access ports tag and untag, trunks carry what they allow, and nothing crosses from one VLAN into another.
import assert from 'node:assert/strict';
import { frame, type Sniffer, sendFrames, sniff } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const NOWHERE = { red1: null, red2: null, blue: null, trunk: null, native: null };
const STATION = '02:00:5e:00:53:10';

describe('VLANs', function vlans() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  const sides: Record<string, Side> = {};
  const sniffers: Record<string, Sniffer> = {};
  let count = 0;

  const VLANS = {
    red1: { mode: 'access', id: 10 },
    red2: { mode: 'access', id: 10 },
    blue: { mode: 'access', id: 20 },
    trunk: { mode: 'trunk', native: null, allowed: [10, 20] },
    native: { mode: 'trunk', native: 20, allowed: [10, 20] },
  };

  before(async () => {
    const network = lab.name('vlans');
    const subnet = lab.subnet();
    await daemon.call('POST', '/v1/networks', {
      name: network,
      type: 'private',
      subnets: [`${subnet.v4}.0/24`, `${subnet.v6}::/64`],
    });
    for (const [index, [base, vlan]] of Object.entries(VLANS).entries()) {
      sides[base] = await createSide(lab, { network, subnet, base, host: 10 + index, endpoint: { vlan } });
      sniffers[base] = await sniff(lab, base, 'eth0', `ether src ${STATION}`);
    }
  });

  /**
   * Sends one broadcast frame into the network from `base` with these tags; what each endpoint got: its tags, or null.
   * Markers that reach everybody follow it, so that who has a marker but not the frame will not get the frame any more.
   */
  async function flood(base: string, tags: number[]): Promise<Record<string, number[] | null>> {
    const number = count++;
    const [payload, marker] = [`frame ${number}.`, `marker ${number}.`];
    const build = (text: string, tag: number[]) => frame({ to: BROADCAST, from: STATION, tags: tag, payload: text });
    await sendFrames(lab, base, 'eth0', [build(payload, tags)]);
    await sendFrames(lab, 'trunk', 'eth0', [build(marker, [10]), build(marker, [20])]);
    await sendFrames(lab, 'native', 'eth0', [build(marker, [10])]);
    const result: Record<string, number[] | null> = {};
    for (const [name, sniffer] of Object.entries(sniffers)) {
      const having = (text: string) =>
        sniffer.frames().filter((bytes) => bytes.includes(Buffer.from(text).toString('hex')));
      await waitFor(`the marker at ${name}`, () => having(marker).length > 0);
      const got = having(payload);
      assert.ok(got.length <= 1, `${name} got the frame once at most`);
      result[name] = got[0] === undefined ? null : tagsOf(got[0]);
    }
    return result;
  }

  function tagsOf(bytes: string): number[] {
    const tags: number[] = [];
    for (let at = 24; bytes.slice(at, at + 4) === '8100'; at += 8)
      tags.push(Number.parseInt(bytes.slice(at + 5, at + 8), 16));
    return tags;
  }

  async function dropped(reason: string): Promise<number> {
    const rows: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
    return rows.find((row) => row.reason === reason)?.frames ?? 0;
  }

  it('an untagged frame of an access port leaves untagged at its VLAN and tagged on trunks', async () => {
    assert.deepEqual(await flood('red1', []), { red1: null, red2: [], blue: null, trunk: [10], native: [10] });
    assert.deepEqual(await flood('blue', []), { red1: null, red2: null, blue: null, trunk: [20], native: [] });
  });

  it('a tagged frame of a trunk leaves untagged at the access ports of that VLAN', async () => {
    assert.deepEqual(await flood('trunk', [10]), { red1: [], red2: [], blue: null, trunk: null, native: [10] });
    assert.deepEqual(await flood('trunk', [20]), { red1: null, red2: null, blue: [], trunk: null, native: [] });
  });

  it('an untagged frame of a trunk belongs to its native VLAN', async () => {
    assert.deepEqual(await flood('native', []), { red1: null, red2: null, blue: [], trunk: [20], native: null });
  });

  it('a tagged frame that its port does not carry is dropped and counted', async () => {
    for (const [base, tags] of [
      ['trunk', [30]],
      ['native', [4094]],
      ['red1', [10]],
      ['red1', [20]],
    ] as const) {
      const before = await dropped('vlan-not-allowed');
      assert.deepEqual(await flood(base, [...tags]), NOWHERE, `${base} ${tags}`);
      await waitFor('the drop to be counted', async () => (await dropped('vlan-not-allowed')) > before);
      assert.equal(await dropped('vlan-not-allowed'), before + 1, `${base} ${tags}`);
    }
  });

  it('an untagged frame of a trunk without a native VLAN reaches no VLAN', async () => {
    assert.deepEqual(await flood('trunk', []), NOWHERE);
  });

  it('a priority tag (VLAN 0) does not change the VLAN of a frame', async () => {
    const result = await flood('red1', [0]);
    assert.deepEqual([result.red2 !== null, result.blue, result.trunk], [true, null, [10]]);
  });

  it('endpoints in one VLAN talk over IPv4 and IPv6, those in different VLANs do not', async () => {
    const [red1, red2, blue] = [sides.red1!, sides.red2!, sides.blue!];
    for (const address of [red2.v4, red2.v6]) assert.ok(await lab.pings(red1.base, address));
    for (const address of [blue.v4, blue.v6]) assert.equal(await lab.pings(red1.base, address), false);
  });

  it('an endpoint changes its VLAN live', async () => {
    const [red2, blue] = [sides.red2!, sides.blue!];
    await daemon.call('PATCH', `/v1/endpoints/${red2.endpoint}`, { vlan: { mode: 'access', id: 20 } });
    assert.ok(await lab.pings(blue.base, red2.v4));
    assert.equal(await lab.pings('red1', red2.v4), false);
    await daemon.call('PATCH', `/v1/endpoints/${red2.endpoint}`, { vlan: { mode: 'access', id: 10 } });
    assert.ok(await lab.pings('red1', red2.v6));
  });
});
