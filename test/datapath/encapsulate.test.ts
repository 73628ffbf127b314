// What leaves by a tunnel over a TAP, byte by byte: outer headers, segments and checksums, read by a parser that shares no code with
// src and checks every checksum (test/support/outer-frames.ts).
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { ACCEPTS_CHECKSUM, ACCEPTS_TUNNEL_CSUM, ACCEPTS_TUNNEL_GSO } from '../../src/datapath/program.js';
import {
  ether,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  partial,
  pattern,
  superFrame,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { datagramsOf, onTheWire, readOuter, readVxlan } from '../support/outer-frames.js';
import { ACCEPTS_ALL } from '../support/program-builder.js';
import { VTEP_HOST_MAC, VTEP_OWN_MAC } from '../support/tunnel-columns.js';
import { DB, message, WEB } from './stations.js';
import {
  bytesOf,
  datagrams,
  frame,
  HERE,
  HERE6,
  inners,
  lab,
  outers,
  segments,
  socket,
  superTcp,
  THERE,
  THERE6,
  tap,
  V4,
  V6,
} from './tunnelled.js';

const TUNNEL_OFFLOAD = ACCEPTS_ALL | ACCEPTS_TUNNEL_GSO;

describe('encapsulation over a TAP', () => {
  it('puts VXLAN, UDP, IP and Ethernet in front of the frame and leaves it as it is', () => {
    const from = lab(tap());
    const sent = message(WEB, DB, 'hello');
    from.send('web', sent);
    const [outer, ...others] = outers(from);
    const { sourcePort, ...rest } = outer!;
    assert.deepEqual(rest, {
      fromMac: VTEP_OWN_MAC,
      toMac: VTEP_HOST_MAC,
      from: HERE,
      to: THERE,
      trafficClass: 0,
      flowLabel: 0,
      destinationPort: 4789,
      hasChecksum: false,
      vni: 5000,
      inner: sent.bytes,
    });
    assert.ok(sourcePort >= 49152, 'a dynamic port');
    assert.deepEqual(others, []);
    assert.deepEqual([from.total('departures'), from.total('sent')], [2, 2], 'the frame, and the one around it');
  });

  it('does so over IPv6, with a checksum and a flow label, to any port', () => {
    const from = lab(tap({ address: HERE6, udpPort: 8472, checksum: true }), {}, [THERE6]);
    from.send('web', message(WEB, DB, 'odd'));
    const [outer] = outers(from);
    assert.deepEqual([outer!.from, outer!.to, outer!.destinationPort], [HERE6, THERE6, 8472]);
    assert.ok(outer!.hasChecksum && outer!.flowLabel > 0);
  });

  it('takes any VNI', () => {
    for (const vni of [0, 1, 4095, 0xff_ffff]) {
      const from = lab(tap(), { overlay: { vtep: 'v', vni, floods: [THERE] } });
      from.send('web', message(WEB, DB, 'hello'));
      assert.deepEqual(
        outers(from).map((outer) => outer.vni),
        [vni],
      );
    }
  });

  it('keeps a flow on one source port and spreads flows over many', () => {
    const from = lab(tap());
    const flows = Array.from({ length: 200 }, (_, n) => frame(ipv4(V4, udp(1000 + n, 53, 'x'))));
    from.send('web', ...flows, ...flows);
    const ports = outers(from).map(({ sourcePort }) => sourcePort);
    assert.deepEqual(ports.slice(0, 200), ports.slice(200));
    assert.ok(ports.every((port) => port >= 49152));
    assert.ok(new Set(ports).size > 190, `${new Set(ports).size} ports for 200 flows`);
  });

  it('sends all fragments of a packet the same way', () => {
    const from = lab(tap());
    const first = frame(ipv4({ ...V4, flags: 0x2000 }, udp(1000, 53, pattern(40))));
    const later = frame(ipv4({ ...V4, flags: 0x0006 }, { protocol: 17, bytes: pattern(30, 9), checksumOffset: -1 }));
    from.send('web', first, later);
    assert.equal(new Set(outers(from).map(({ sourcePort }) => sourcePort)).size, 1);
  });

  it('copies DSCP and ECN of the inner packet (RFC 6040 section 4.1)', () => {
    const from = lab(tap());
    const classes = [0x00, 0x01, 0x02, 0x03, 0xb8, 0xbb, 0xff];
    from.send('web', ...classes.map((tos) => frame(ipv4({ ...V4, tos }, udp(1, 2)))));
    assert.deepEqual(
      outers(from).map(({ trafficClass }) => trafficClass),
      classes,
    );
    from.send('web', ...classes.map((trafficClass) => frame(ipv6({ ...V6, trafficClass }, udp(1, 2)))));
    assert.deepEqual(
      outers(from).map(({ trafficClass }) => trafficClass),
      classes,
    );
    from.send('web', ether({ from: WEB, to: DB }, 'no IP'));
    assert.deepEqual(
      outers(from).map(({ trafficClass }) => trafficClass),
      [0],
    );
  });

  it('sets the DSCP where the network says which, and still copies ECN', () => {
    const from = lab(tap(), { overlay: { vtep: 'v', vni: 1, floods: [THERE], dscp: 46 } });
    from.send('web', frame(ipv4({ ...V4, tos: 0x03 }, udp(1, 2))), ether({ from: WEB, to: DB }, 'no IP'));
    assert.deepEqual(
      outers(from).map(({ trafficClass }) => trafficClass),
      [0xbb, 0xb8],
    );
  });

  it('leaves the inner checksum to a port that finishes it, and finishes it for one that does not', () => {
    const whole = frame(ipv4(V4, tcp({}, 'some text')));
    for (const accepts of [ACCEPTS_CHECKSUM, 0]) {
      for (const checksum of [false, true]) {
        const from = lab(tap({ accepts, headerBytes: 12, checksum }));
        from.send('web', partial(whole));
        const [outer] = outers(from);
        assert.deepEqual(outer!.inner, whole.bytes);
        assert.equal(outer!.hasChecksum, checksum);
        assert.equal(from.total('completed'), accepts === 0 ? 1 : 0);
      }
    }
  });

  it('carries untagged frames only, or VLANs with their tags', () => {
    const access = lab(tap());
    access.send('web', message(WEB, DB, 'priority', [{ vlan: 0, priority: 5 }]));
    assert.deepEqual(inners(outers(access)), [message(WEB, DB, 'priority').bytes]);
    access.send('web', message(WEB, DB, 'tagged', [7]));
    access.expect({}, { 'no-destination': 1 });

    const trunk = lab(tap(), {
      ports: { web: { vlan: 7 } },
      overlay: { vtep: 'v', vni: 1, floods: [THERE], keepVlans: true },
    });
    const tagged = ether({ from: WEB, to: DB, tags: [7] }, ipv4(V4, tcp({}, 'some text')));
    trunk.send('web', partial(frame(ipv4(V4, tcp({}, 'some text')))));
    assert.deepEqual(inners(outers(trunk)), [tagged.bytes]);
  });

  it('drops what is larger than the underlay carries', () => {
    const from = lab(tap({ mtu: 1500 }));
    const packet = (bytes: number) => frame(ipv4(V4, udp(1, 2, pattern(bytes - 28))));
    from.send('web', packet(1450), packet(1451));
    assert.deepEqual(inners(outers(from)), [packet(1450).bytes]);
    from.expect({}, { 'exceeds-underlay': 1 });
  });

  it('drops what cannot leave because the VTEP is lost', () => {
    const from = lab(socket({ senders: 0 }));
    from.send('web', message(WEB, DB, 'hello'));
    from.expect({}, { 'port-gone': 1 });
  });

  it('tells apart what the underlay refuses', () => {
    for (const [errno, name] of [
      [constants.errno.EMSGSIZE, 'exceeds-underlay'],
      [constants.errno.ENETUNREACH, 'no-underlay-route'],
      [constants.errno.EHOSTUNREACH, 'no-underlay-route'],
      [constants.errno.EPERM, 'refused'],
    ] as const) {
      const from = lab(socket({ senders: 1 }));
      from.io.port(from.index('v/0')).transmitErrno = errno;
      from.send('web', message(WEB, DB, 'hello'));
      from.expect({}, { [name]: 1 });
    }
  });
});

describe('encapsulation of super-frames', () => {
  const payload = pattern(4000);

  it('cuts them for a TAP that knows no tunnels', () => {
    for (const checksum of [false, true]) {
      const from = lab(tap({ checksum, joins: false }));
      from.send('web', superTcp(payload, 1400));
      const left = outers(from);
      assert.deepEqual(inners(left), bytesOf(segments(payload, 1400)));
      assert.ok(left.every((outer) => outer.hasChecksum === checksum));
    }
  });

  it('leaves them whole to a TAP that does, and says where the headers are', () => {
    for (const [address, peer] of [
      [HERE, THERE],
      [HERE6, THERE6],
    ] as const) {
      for (const checksum of [false, true]) {
        const accepts = TUNNEL_OFFLOAD | (checksum ? ACCEPTS_TUNNEL_CSUM : 0);
        const from = lab(tap({ address, accepts, headerBytes: 24, checksum }), {}, [peer]);
        from.send('web', superTcp(payload, 1400));
        const left = from.take('v');
        assert.equal(left.length, 1, 'one write');
        const all = left.flatMap(onTheWire).map(readOuter);
        assert.deepEqual(inners(all), bytesOf(segments(payload, 1400)));
        assert.ok(all.every((outer) => outer.hasChecksum === checksum));
      }
    }
  });

  it('leaves UDP and IPv6 whole too', () => {
    const from = lab(tap({ accepts: TUNNEL_OFFLOAD, headerBytes: 24 }));
    from.send('web', superFrame(frame(ipv4({ ...V4, id: 9 }, udp(1, 2, payload))), GSO_UDP, 1000));
    const pieces = [0, 1, 2, 3].map((n) => payload.slice(n * 1000, (n + 1) * 1000));
    const expected = pieces.map((piece, n) => frame(ipv4({ ...V4, id: 9 + n }, udp(1, 2, piece))));
    assert.deepEqual(inners(outers(from)), bytesOf(expected));
    const extensions = [{ type: 60, options: pattern(6) }];
    from.send('web', superFrame(frame(ipv6({ ...V6, extensions }, tcp({ sequence: 1 }, payload))), GSO_TCP6, 1000));
    const six = pieces.map((piece, n) => frame(ipv6({ ...V6, extensions }, tcp({ sequence: 1 + n * 1000 }, piece))));
    assert.deepEqual(inners(outers(from)), bytesOf(six));
  });

  it('cuts them where a bit is missing, one segment is all there is, or no outer header can describe them', () => {
    const lacking = [TUNNEL_OFFLOAD & ~ACCEPTS_TUNNEL_GSO, TUNNEL_OFFLOAD & ~ACCEPTS_CHECKSUM];
    for (const accepts of lacking) {
      const from = lab(tap({ accepts, headerBytes: 24, joins: false }));
      from.send('web', superTcp(payload, 1400));
      assert.equal(from.take('v').length, 3);
    }
    const unsummed = lab(tap({ accepts: TUNNEL_OFFLOAD, headerBytes: 24, checksum: true, joins: false }));
    unsummed.send('web', superTcp(payload, 1400));
    assert.equal(unsummed.take('v').length, 3, 'no outer checksums from the kernel');
    const whole = lab(tap({ accepts: TUNNEL_OFFLOAD, headerBytes: 24 }));
    whole.send('web', superTcp(pattern(1000), 1400));
    assert.deepEqual(inners(outers(whole)), bytesOf(segments(pattern(1000), 1400)));
    const largest = pattern(65535 - 40);
    whole.send('web', superTcp(largest, 1400));
    assert.deepEqual(inners(outers(whole)), bytesOf(segments(largest, 1400)));
  });

  it('drops one whose segments are larger than the underlay carries, and no other', () => {
    const from = lab(tap({ mtu: 1490 }));
    from.send('web', superTcp(payload, 1400));
    assert.equal(outers(from).length, 3);
    from.send('web', superTcp(payload, 1401));
    from.expect({}, { 'exceeds-underlay': 1 });
  });

  it('sends segments over a socket as joined datagrams', () => {
    const from = lab(socket({ senders: 1 }));
    from.send('web', superTcp(payload, 1400));
    const left = from.take('v/0');
    assert.deepEqual(
      left.map(({ peer }) => peer!.segmentBytes),
      [8 + 14 + 40 + 1400],
    );
    assert.deepEqual(inners(left.flatMap(datagramsOf).map(readVxlan)), bytesOf(segments(payload, 1400)));
  });

  it('cuts more than one message, the queue and the scratch memory hold', () => {
    const from = lab(socket({ senders: 1 }), {}, [THERE, '192.0.2.3', '192.0.2.4']);
    const most = pattern(40_000);
    from.send('web', superTcp(most, 100));
    const left = datagrams(from, 1);
    for (const address of [THERE, '192.0.2.3', '192.0.2.4']) {
      const copies = left.filter((each) => each.address === address);
      assert.deepEqual(inners(copies), bytesOf(segments(most, 100)), address);
    }
  });
});
