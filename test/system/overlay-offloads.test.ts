/**
 * Trying out the kernel's offloads for tunnels before they are used: this kernel passes or says what it lacks, damage of any byte is
 * seen, nothing is left behind, and the operator hears of what is not right.
 */
import { strict as assert } from 'node:assert';
import { readdirSync, readlinkSync } from 'node:fs';
import { parsePrefix } from '../../src/control/kernel/ip-prefix.js';
import {
  buildSuperFrame,
  type Family,
  type FrameShape,
  findDamage,
  isTunnelPacket,
  SEGMENTS,
} from '../../src/control/overlay/offload-frames.js';
import { OffloadRig } from '../../src/control/overlay/offload-rig.js';
import { testOffloads } from '../../src/control/overlay/offload-test.js';
import {
  createOffloadTest,
  type OffloadVerdict,
  type OffloadVerdicts,
} from '../../src/control/overlay/offload-verdict.js';
import { OFFLOAD_TUNNEL_GSO } from '../../src/native/index.js';

const ETHERNET_BYTES = 14;
const IP_BYTES = { 4: 20, 6: 40 } as const;

/** Descriptors of TAPs, sockets and namespaces that this process has. */
function openThings(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return '';
      }
    })
    .filter((target) => /tun|socket|net:/.test(target))
    .sort();
}

describe('offloads of the kernel for tunnels', () => {
  before(function () {
    if (process.getuid?.() !== 0) this.skip();
  });

  it('are tried out where nobody sees it, and nothing is left', async () => {
    const before = openThings();
    const { joins, tunnelGso } = await testOffloads();
    assert.deepEqual(joins, { state: 'works', finding: 'joined datagrams arrive as they were sent' });
    assert.notEqual(tunnelGso.state, 'broken', tunnelGso.finding);
    assert.deepEqual(openThings(), before);
  });

  for (const [outer, inner, protocol, hasChecksum] of [
    [4, 4, 'tcp', false],
    [4, 6, 'udp', true],
    [6, 4, 'tcp', true],
    [6, 6, 'tcp', false],
  ] as const) {
    const sums = hasChecksum ? 'with' : 'without';
    it(`show any damage: ${protocol} over IPv${inner} over IPv${outer} ${sums} checksums`, async function () {
      const rig = await OffloadRig.open();
      try {
        if ((rig.granted & OFFLOAD_TUNNEL_GSO) === 0) this.skip();
        const [from, to] =
          outer === 4 ? ['198.51.100.9/32', '192.0.2.9/32'] : ['2001:db8:1::9/128', '2001:db8:2::9/128'];
        const [source, destination] = [parsePrefix(from).bytes, parsePrefix(to).bytes];
        const shape: FrameShape = { outer, inner, protocol, hasChecksum, source, destination };
        const sent = [{ port: rig.portOf('in'), bytes: buildSuperFrame(shape) }];
        const { received } = rig.exchange(sent, rig.portOf('out'), SEGMENTS, isTunnelPacket);
        assert.equal(received.length, SEGMENTS);
        assert.equal(findDamage(shape, received), null);

        const unnoticed: number[] = [];
        const { view, at, length } = received[1]!;
        for (let offset = 0; offset < length; offset++) {
          const byte = view.getUint8(at + offset);
          view.setUint8(at + offset, byte ^ 0x10);
          if (findDamage(shape, received) === null) unnoticed.push(offset);
          view.setUint8(at + offset, byte);
        }
        assert.deepEqual(unnoticed, mayChange(shape));
        assert.match(findDamage(shape, received.slice(1)) ?? '', /^at byte 0 of the payload/, 'one that is missing');
        assert.match(findDamage(shape, received.slice(0, -1)) ?? '', /bytes came out$/);
      } finally {
        await rig.close();
      }
    });
  }

  it('are tried once, and what is wrong is told, what is missing is not', async () => {
    let times = 0;
    const works: OffloadVerdict = { state: 'works', finding: 'fine' };
    const answer = async (verdicts: OffloadVerdicts) => {
      const test = createOffloadTest(async () => {
        times += 1;
        return verdicts;
      });
      const namespace = { fd: -1, path: 'nowhere', device: 0, inode: 0 };
      const [first, second] = [await test(namespace), await test(namespace)];
      assert.deepEqual(first, second);
      return first;
    };
    assert.deepEqual(await answer({ joins: works, tunnelGso: works }), { joins: true, tunnelGso: true, warnings: [] });
    assert.equal(times, 1);
    const missing: OffloadVerdict = { state: 'missing', finding: 'not there' };
    assert.deepEqual(await answer({ joins: works, tunnelGso: missing }), {
      joins: true,
      tunnelGso: false,
      warnings: [],
    });
    const broken: OffloadVerdict = { state: 'broken', finding: 'the inner checksum' };
    const { joins, tunnelGso, warnings } = await answer({ joins: broken, tunnelGso: broken });
    assert.deepEqual([joins, tunnelGso, warnings?.length], [false, false, 2]);
    for (const warning of warnings ?? [])
      assert.match(warning, /is not used \(the inner checksum\): .* slower; use another kernel$/);
  });
});

/** Offsets of what no length, checksum or comparison covers: addresses of Ethernet, and what of IPv6 routers may write. */
function mayChange({ outer, inner, hasChecksum }: FrameShape): number[] {
  const macs = Array.from({ length: ETHERNET_BYTES }, (_, i) => i);
  const innerAt = ETHERNET_BYTES + IP_BYTES[outer] + 8 + 8 + ETHERNET_BYTES;
  const ofIp = (at: number, family: Family): number[] => (family === 4 ? [] : [at + 1, at + 2, at + 3, at + 7]);
  return [...macs, ...ofIp(ETHERNET_BYTES, outer), ...(hasChecksum ? [] : ofIp(innerAt, inner))];
}
