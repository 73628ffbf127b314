// Datagrams of one size that leave a TAP one after the other: one super-frame of UDP, which the kernel cuts into what each would have
// been alone.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { PORT, portAt } from '../../src/datapath/counters.js';
import { ACCEPTS_CHECKSUM, ACCEPTS_TUNNEL_GSO, ACCEPTS_USO } from '../../src/datapath/program.js';
import { ether, ipv4, partial, pattern, tcp, udp } from '../support/frame-builders.js';
import { onTheWire, readOuter } from '../support/outer-frames.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { DB, message, WEB } from './stations.js';
import { bytesOf, frame, HERE6, inners, lab, outers, segments, superTcp, THERE, THERE6, tap, V4 } from './tunnelled.js';

const GSO_UDP = 5;
const OUTER4 = 14 + 20 + 8;

const sized = (bytes: number, n: number) => ether({ from: WEB, to: DB }, pattern(bytes, n));
const many = (count: number, bytes = 50) => Array.from({ length: count }, (_, n) => sized(bytes, n));

describe('datagrams joined over a TAP', () => {
  it('leave in one frame while they are of one size, the last one shorter', () => {
    for (const headerBytes of [12, 24]) {
      const from = lab(tap({ headerBytes }));
      const sent = [sized(100, 1), sized(100, 2), sized(60, 3), sized(60, 4), sized(61, 5)];
      from.send('web', ...sent);
      const left = from.take('v');
      assert.deepEqual(
        left.map(({ vnet, bytes }) => [vnet?.gsoType ?? 0, vnet?.gsoSize ?? 0, bytes.length - OUTER4]),
        [
          [GSO_UDP, 122, 122 + 122 + 82],
          [0, 0, 82],
          [0, 0, 83],
        ],
      );
      const seen = left.flatMap(onTheWire).map(readOuter);
      assert.deepEqual(inners(seen), bytesOf(sent));
      assert.deepEqual(
        seen.map(({ hasChecksum }) => hasChecksum),
        [true, true, true, false, false],
        'the kernel sums what it cuts',
      );
      assert.equal(new Set(seen.map(({ sourcePort }) => sourcePort)).size, 1);
    }
  });

  it('have their inner checksums finished: there is room for one partial checksum, the outer one', () => {
    for (const checksum of [false, true]) {
      for (const [address, peer] of [
        [undefined, THERE],
        [HERE6, THERE6],
      ] as const) {
        const from = lab(tap({ checksum, ...(address === undefined ? {} : { address }) }), {}, [peer]);
        const whole = [1, 2, 3].map((n) => frame(ipv4({ ...V4, id: n }, udp(1000, 53, pattern(20, n)))));
        from.send('web', ...whole.map((each) => partial(each)));
        const left = from.take('v');
        assert.equal(left.length, 1);
        const seen = left.flatMap(onTheWire).map(readOuter);
        assert.deepEqual(inners(seen), bytesOf(whole));
        assert.ok(seen.every(({ hasChecksum, to }) => hasChecksum && to === peer));
        from.send('web', partial(whole[0]!));
        const [alone] = outers(from);
        assert.deepEqual([alone!.inner, alone!.hasChecksum], [whole[0]!.bytes, checksum]);
      }
    }
  });

  it('are at most 64', () => {
    const from = lab(tap());
    const sent = many(150);
    from.send('web', ...sent);
    const left = from.take('v');
    assert.deepEqual(
      left.map((each) => onTheWire(each).length),
      [64, 64, 22],
    );
    assert.deepEqual(inners(left.flatMap(onTheWire).map(readOuter)), bytesOf(sent));
  });

  it('have one flow, one class and one peer', () => {
    const from = lab(tap());
    const packet = (port: number, tos = 0) => frame(ipv4({ ...V4, tos }, udp(port, 2, 'same size')));
    from.send('web', packet(1), packet(1), packet(2), packet(1), packet(1, 4), packet(1, 4));
    assert.deepEqual(
      from.take('v').map((each) => onTheWire(each).length),
      [2, 1, 1, 2],
    );
    const flooding = lab(tap(), {}, [THERE, '192.0.2.3']);
    flooding.send('web', sized(60, 1), sized(60, 1));
    assert.deepEqual(
      outers(flooding).map(({ to }) => to),
      [THERE, '192.0.2.3', THERE, '192.0.2.3'],
    );
  });

  it('may be the segments of a super-frame that the TAP does not take', () => {
    const from = lab(tap());
    from.send('web', superTcp(pattern(4000), 1400));
    const left = from.take('v');
    assert.equal(left.length, 1, 'one write');
    assert.deepEqual(inners(left.flatMap(onTheWire).map(readOuter)), bytesOf(segments(pattern(4000), 1400)));
  });

  it('leave a super-frame inside of the tunnel as it is, between them', () => {
    const from = lab(tap({ accepts: ACCEPTS_ALL | ACCEPTS_TUNNEL_GSO, headerBytes: 24 }));
    const sent = [sized(60, 1), sized(60, 2)];
    from.send('web', ...sent, superTcp(pattern(4000), 1400), ...sent);
    const left = from.take('v');
    assert.deepEqual(
      left.map((each) => onTheWire(each).length),
      [2, 3, 2],
    );
    const expected = [...sent, ...segments(pattern(4000), 1400), ...sent];
    assert.deepEqual(inners(left.flatMap(onTheWire).map(readOuter)), bytesOf(expected));
  });

  it('leave singly where the TAP or the VTEP cannot join, with the inner checksum left to the TAP', () => {
    const sent = [1, 2].map(() => frame(ipv4(V4, tcp({}, 'some text'))));
    for (const settings of [{ accepts: ACCEPTS_ALL & ~ACCEPTS_USO }, { accepts: ACCEPTS_CHECKSUM }, { joins: false }]) {
      const from = lab(tap({ headerBytes: 12, ...settings }));
      from.send('web', ...sent.map((each) => partial(each)));
      assert.equal(from.total('completed'), 0);
      assert.deepEqual(
        outers(from).map(({ inner, hasChecksum }) => [inner, hasChecksum]),
        sent.map(({ bytes }) => [bytes, false]),
      );
    }
  });

  it('count as one departure each, with all their bytes', () => {
    const counted = [true, false].map((joins) => {
      const from = lab(tap({ joins }));
      from.send('web', ...many(10));
      from.ignoreDepartures();
      const at = portAt(from.index('v'), PORT.txFrames);
      const bytes = portAt(from.index('v'), PORT.txBytes);
      return [from.total('departures'), from.total('sent'), from.counters.values[at], from.counters.values[bytes]];
    });
    assert.deepEqual(counted[0], counted[1]);
  });

  for (const checksum of [false, true]) {
    it(`are sent singly when the kernel refuses them, ${checksum ? 'with' : 'without'} checksums, and joined no more`, () => {
      const from = lab(tap({ checksum }));
      from.io.port(from.index('v')).joinErrno = constants.errno.EINVAL;
      const sent = [...many(3), sized(20, 9)];
      from.send('web', ...sent, message(WEB, DB, 'behind'));
      const left = outers(from);
      const texts = (list: readonly Uint8Array[]) => list.map(String).sort();
      assert.deepEqual(texts(inners(left)), texts(bytesOf([...sent, message(WEB, DB, 'behind')])));
      assert.ok(left.every((outer) => outer.hasChecksum === checksum));
      assert.deepEqual([from.total('joinsRefused'), from.total('transmitDropped')], [1, 0]);
      from.send('web', ...sent);
      assert.equal(from.take('v').length, sent.length);
      assert.equal(from.total('joinsRefused'), 1);
    });
  }

  it('go on being joined when they are refused singly too', () => {
    const from = lab(tap());
    const port = from.io.port(from.index('v'));
    port.joinErrno = constants.errno.EINVAL;
    port.transmitErrno = constants.errno.EIO;
    from.send('web', ...many(3));
    from.expect({}, { 'port-down': 3 });
    port.joinErrno = 0;
    port.transmitErrno = 0;
    from.send('web', ...many(3));
    assert.equal(from.take('v').length, 1);
  });
});
