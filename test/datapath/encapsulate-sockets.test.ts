// What leaves by a tunnel over UDP sockets, joined where it can be, and what floods: a copy for each peer, whatever the underlay.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import { listRemotes } from '../../src/tables/remote-table.js';
import { BROADCAST, ether, ipv4, partial, pattern, udp } from '../support/frame-builders.js';
import { fragments4 } from '../support/icmp-builders.js';
import { createLab } from '../support/lab.js';
import { datagramsOf, onTheWire, readVxlan } from '../support/outer-frames.js';
import { gatewayMac } from '../support/router-columns.js';
import { addressText, tunnelOf } from '../support/tunnel-columns.js';
import { DB, message, WEB } from './stations.js';
import {
  bytesOf,
  datagrams,
  frame,
  inners,
  lab,
  outers,
  segments,
  socket,
  superTcp,
  THERE,
  tap,
  V4,
} from './tunnelled.js';

describe('encapsulation over sockets', () => {
  it('sends the payload of a datagram to the peer, with the class of the inner packet, from the socket of the flow', () => {
    const from = lab(socket({ senders: 4, udpPort: 8472 }));
    const flows = Array.from({ length: 60 }, (_, n) => frame(ipv4({ ...V4, tos: 0xb9 }, udp(1000 + n, 53, 'x'))));
    for (const each of [...flows, ...flows]) from.send('web', each);
    const left = datagrams(from, 4);
    assert.equal(left.length, 120);
    const known = { address: THERE, port: 8472, trafficClass: 0xb9, segmentBytes: 0, vni: 5000 };
    for (const { inner: _, ...rest } of left) assert.deepEqual(rest, known);
    const sendersOf = new Map<string, number>();
    for (const each of flows) {
      from.send('web', each);
      const sender = [0, 1, 2, 3].findIndex((n) => from.take(`v/${n}`).length > 0);
      sendersOf.set(String(each.bytes), sender);
    }
    assert.equal(new Set(sendersOf.values()).size, 4, 'every socket has its share');
  });

  it('finishes inner checksums', () => {
    const from = lab(socket());
    const whole = frame(ipv4(V4, udp(1000, 53, 'x')));
    from.send('web', partial(whole));
    assert.deepEqual(inners(datagrams(from)), [whole.bytes]);
  });

  it('joins what goes to one peer in one size, the last one shorter', () => {
    const from = lab(socket({ senders: 1 }));
    const sized = (bytes: number, n: number) => ether({ from: WEB, to: DB }, pattern(bytes, n));
    from.queue('web', sized(100, 1), sized(100, 2), sized(60, 3), sized(60, 4), sized(61, 5));
    from.run();
    const left = from.take('v/0');
    assert.deepEqual(
      left.map(({ peer, bytes }) => [peer!.segmentBytes, bytes.length]),
      [
        [122, 122 + 122 + 82],
        [0, 82],
        [0, 83],
      ],
    );
    const expected = [sized(100, 1), sized(100, 2), sized(60, 3), sized(60, 4), sized(61, 5)];
    assert.deepEqual(inners(left.flatMap(datagramsOf).map(readVxlan)), bytesOf(expected));
  });

  it('joins at most 64 datagrams', () => {
    const from = lab(socket({ senders: 1 }));
    const sent = Array.from({ length: 150 }, (_, n) => ether({ from: WEB, to: DB }, pattern(50, n)));
    from.send('web', ...sent);
    const left = from.take('v/0');
    assert.deepEqual(
      left.map((each) => datagramsOf(each).length),
      [64, 64, 22],
    );
    assert.deepEqual(inners(left.flatMap(datagramsOf).map(readVxlan)), bytesOf(sent));
  });

  it('does not join what differs in class', () => {
    const from = lab(socket({ senders: 1 }));
    const classes = [0, 0, 2, 2, 3, 0];
    from.send('web', ...classes.map((tos) => frame(ipv4({ ...V4, tos }, udp(1, 2, 'same size')))));
    const left = from.take('v/0');
    assert.deepEqual(
      left.map(({ peer, bytes }) => [peer!.trafficClass, bytes.length / left[3]!.bytes.length]),
      [
        [0, 2],
        [2, 2],
        [3, 1],
        [0, 1],
      ],
    );
  });

  it('does not join where the VTEP must not', () => {
    const from = lab(socket({ senders: 1, joins: false }));
    from.send('web', superTcp(pattern(4000), 1400));
    assert.deepEqual(
      from.take('v/0').map(({ peer }) => peer!.segmentBytes),
      [0, 0, 0],
    );
  });

  for (const errno of [constants.errno.EIO, constants.errno.EINVAL]) {
    it(`sends datagrams singly when the kernel refuses to take them joined (errno ${errno}), and joins no more`, () => {
      const from = lab(socket({ senders: 1 }));
      from.io.port(from.index('v/0')).joinErrno = errno;
      const payload = pattern(4000);
      from.send('web', superTcp(payload, 1400), message(WEB, DB, 'behind'));
      const expected = bytesOf([...segments(payload, 1400), message(WEB, DB, 'behind')]);
      const sortedText = (list: Uint8Array[]): string[] => list.map(String).sort();
      assert.deepEqual(sortedText(inners(datagrams(from, 1))), sortedText(expected));
      assert.deepEqual([from.total('joinsRefused'), from.total('transmitDropped')], [1, 0]);
      from.send('web', superTcp(payload, 1400));
      assert.deepEqual(
        from.take('v/0').map(({ peer }) => peer!.segmentBytes),
        [0, 0, 0],
      );
      assert.equal(from.total('joinsRefused'), 1);
      from.change({
        ports: ['web', 'db'],
        vteps: { v: socket({ senders: 1 }) },
        overlay: { vtep: 'v', vni: 1, floods: [THERE] },
      });
      from.send('web', superTcp(payload, 1400));
      assert.equal(from.take('v/0').length, 3, 'another program does not change what the kernel does');
      from.ignoreDepartures();
    });
  }

  it('goes on joining when the datagrams are refused singly too', () => {
    const from = lab(socket({ senders: 1 }));
    const port = from.io.port(from.index('v/0'));
    port.joinErrno = constants.errno.EINVAL;
    port.transmitErrno = constants.errno.EMSGSIZE;
    from.send('web', superTcp(pattern(4000), 1400));
    from.expect({}, { 'exceeds-underlay': 3 });
    port.joinErrno = 0;
    port.transmitErrno = 0;
    from.send('web', superTcp(pattern(4000), 1400));
    assert.equal(from.take('v/0').length, 1);
  });
});

describe('encapsulation of what floods', () => {
  const peers = Array.from({ length: 100 }, (_, n) => `198.51.100.${n + 1}`);

  it('sends one copy to each peer, with one write each and the payload where it is', () => {
    for (const vtep of [tap(), socket({ senders: 1 })]) {
      const from = lab(vtep, {}, peers);
      const sent = ether({ from: WEB, to: BROADCAST }, pattern(1000));
      from.send('web', sent);
      assert.deepEqual(from.io.bursts, [100]);
      const left = vtep.kind === 'tap' ? outers(from).map(({ to, inner }) => [to, inner]) : null;
      const seen = left ?? datagrams(from, 1).map(({ address, inner }) => [address, inner]);
      assert.deepEqual(
        seen,
        peers.map((peer) => [peer, sent.bytes]),
      );
    }
  });

  it('sends to local stations too, each with its checksum finished', () => {
    const from = lab(socket(), { ports: { web: {}, db: {}, old: { accepts: 0 } } });
    const whole = ether({ from: WEB, to: BROADCAST }, ipv4(V4, udp(1000, 53, 'who?')));
    from.send('web', partial(whole));
    assert.deepEqual(inners(datagrams(from)), [whole.bytes]);
    assert.deepEqual(bytesOf(from.take('old')), [whole.bytes]);
    assert.deepEqual(onTheWire(from.take('db')[0]!), [whole.bytes]);
  });

  it('leaves in pieces where the router had to cut it', () => {
    for (const vtep of [tap({ checksum: true }), socket({ senders: 1 })]) {
      const red = { addresses: ['10.0.1.1/24'], routesTo: ['blue'] };
      const station = { address: '10.0.1.2', mac: DB, port: tunnelOf('red') };
      const from = createLab({
        ports: ['web'],
        gateway: { addresses: ['10.0.0.1/24'], routesTo: ['red'] },
        networks: {
          red: {
            mtu: 1450,
            gateway: { ...red, neighbours: [station] },
            overlay: { vtep: 'v', vni: 5000, floods: [THERE] },
          },
        },
        vteps: { v: vtep },
      });
      const packet = (ttl: number) =>
        ipv4({ from: '10.0.0.2', to: '10.0.1.2', ttl, flags: 0, id: 9 }, udp(1, 2, pattern(1470)));
      from.send('web', partial(ether({ from: WEB, to: gatewayMac(0) }, packet(64))));
      const left = inners(vtep.kind === 'tap' ? outers(from) : datagrams(from, 1));
      const expected = fragments4(packet(63), 9, 1424).map(({ bytes }) => bytes);
      assert.deepEqual(
        left.map((bytes) => bytes.slice(14)),
        expected,
      );
    }
  });

  it('goes nowhere without peers', () => {
    const from = lab(tap(), {}, []);
    from.send('web', message(WEB, DB, 'hello'));
    from.expect({}, { 'no-destination': 1 });
  });

  it('never goes back into the tunnel, and what comes out of it is not encapsulated again', () => {
    const from = lab(socket(), { ports: ['web', 'db'] }, [THERE, '192.0.2.3']);
    const inner = ether({ from: DB, to: BROADCAST }, 'from there');
    const bytes = Uint8Array.from([8, 0, 0, 0, 0, 0x13, 0x88, 0, ...inner.bytes]);
    from.send('v', { bytes, vnet: null, peer: { address: THERE, port: 50000 } });
    from.expect({ web: [inner], db: [inner] });
  });
});

describe('encapsulation and the books', () => {
  it('counts a frame at the port of the tunnel, each datagram at the port that writes it, and both at the peer', () => {
    const from = lab(socket({ senders: 1 }), {}, [THERE, '192.0.2.3']);
    from.send('web', superTcp(pattern(2800), 1400), message(WEB, DB, 'hello'));
    from.ignoreDepartures();
    const hello = message(WEB, DB, 'hello').bytes.length;
    const one = 2 * (14 + 40 + 1400) + hello;
    assert.equal(from.total('departures'), 2 + 2 * 3);
    assert.deepEqual(
      listRemotes(from.remoteMemory).map(({ address, txFrames, txBytes }) => [
        addressText(address, 4),
        txFrames,
        txBytes,
      ]),
      [
        [THERE, 3, one],
        ['192.0.2.3', 3, one],
      ],
    );
  });
});
