// Super-frames out of files: whatever a file has, nothing is read outside of it, and what is made of it the datapath takes.
import { strict as assert } from 'node:assert';
import { l3OffsetOf, makeSuperFrame } from '../../src/control/captures/super-frame.js';
import { Prng } from '../../src/lib/prng.js';
import { ether, ipv4, ipv6, pattern, raw, type Tag, tcp, udp } from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';

const ADDRESSES = { from: '02:00:5e:00:00:01', to: '02:00:5e:00:00:02' };
const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const V6 = { from: '2001:db8::1', to: '2001:db8::2' };
const MTU = 1500;

describe('super-frames out of captures', () => {
  it('are left alone, byte for byte, when they are not whole TCP frames', () => {
    const long = pattern(5000);
    const cases: Record<string, Uint8Array> = {
      'no IP': ether(ADDRESSES, long).bytes,
      'an IPv4 fragment': ether(ADDRESSES, ipv4({ ...V4, flags: 0x2000 }, tcp({}, long))).bytes,
      'a later IPv4 fragment': ether(ADDRESSES, ipv4({ ...V4, flags: 0x0010 }, tcp({}, long))).bytes,
      UDP: ether(ADDRESSES, ipv4(V4, udp(1, 2, long))).bytes,
      'UDP over IPv6': ether(ADDRESSES, ipv6(V6, udp(1, 2, long))).bytes,
      'an IPv4 packet behind which there is more': Buffer.concat([
        ether(ADDRESSES, ipv4(V4, tcp({}, long))).bytes,
        long,
      ]),
      'an IPv6 packet of which the end is missing': ether(ADDRESSES, ipv6(V6, tcp({}, long))).bytes.subarray(0, 4000),
      'TCP with a header of no length': ether(ADDRESSES, ipv4(V4, raw(6, new Uint8Array(5000)))).bytes,
    };
    for (const [name, bytes] of Object.entries(cases)) {
      const before = Buffer.from(bytes);
      const view = viewOf(bytes);
      assert.equal(makeSuperFrame(view, l3OffsetOf(view), MTU), null, name);
      assert.ok(before.equals(bytes), name);
    }
  });

  it('are not made when the headers leave no room for payload in a segment', () => {
    const view = viewOf(ether(ADDRESSES, ipv4(V4, tcp({}, pattern(500)))).bytes);
    assert.equal(makeSuperFrame(view, 14, 47), null);
    assert.equal(makeSuperFrame(view, 14, 48)?.gsoSize, 8);
  });

  for (const seed of [1, 2, 3]) {
    it(`of damaged frames read nothing outside, and the datapath refuses none of them, seed ${seed}`, () => {
      const prng = new Prng(seed);
      const lab = createLab({ ports: ['web', 'db'] });
      let made = 0;
      for (let round = 0; round < 1000; round++) {
        const bytes = damaged(prng);
        const view = viewOf(bytes);
        const l3At = l3OffsetOf(view);
        if (l3At < 0 || bytes.length - l3At <= MTU) continue;
        const request = makeSuperFrame(view, l3At, MTU);
        if (request === null) continue;
        made++;
        const { headerBytes, ...rest } = request;
        lab.inject('web', { bytes, vnet: { flags: 1, headerLength: headerBytes, ...rest } });
        lab.run();
        const drops = lab.takeDrops();
        assert.deepEqual([drops['bad-offload'], drops['exceeds-mtu']], [undefined, undefined], `round ${round}`);
        lab.ignoreDepartures();
      }
      assert.ok(made > 100, `${made} super-frames were made`);
    });
  }
});

/** A TCP frame, possibly tagged, cut somewhere or with a few bytes of its headers changed. */
function damaged(prng: Prng): Uint8Array {
  const payload = pattern(1400 + prng.below(8000), prng.below(256));
  const options = new Uint8Array(4 * prng.below(10)).fill(1);
  const stream = tcp({ options, flags: prng.below(256) }, payload);
  const tags: Tag[] = [[], [5], [5, 6]][prng.below(3)]!;
  const packet = prng.below(2) === 0 ? ipv4(V4, stream) : ipv6(V6, stream);
  const { bytes } = ether({ ...ADDRESSES, tags }, packet);
  for (let n = prng.below(3); n > 0; n--) bytes[12 + prng.below(80)] = prng.below(256);
  return prng.below(4) === 0 ? bytes.slice(0, prng.below(bytes.length + 1)) : bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
