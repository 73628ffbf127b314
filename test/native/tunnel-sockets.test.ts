// What the ends of tunnels need of UDP sockets: messages in pieces, traffic classes, datagrams that must not be cut, deaf senders,
// datagrams without checksum.

import { strict as assert } from 'node:assert';
import {
  MAX_JOINED_ROWS,
  native,
  PEER_IPV4,
  PEER_IPV6,
  PORT_PACKET,
  PORT_UDP,
  UDP_COALESCED,
  UDP_DEAF,
  UDP_DONT_FRAGMENT,
  UDP_ZERO_CHECKSUM,
} from '../../src/native/index.js';
import { content, type Peer, peerOf, place, receiveAll, received, SLAB_BYTES, setPeer } from './burst-data.js';
import { type BoundBurst, bind } from './forwarder.js';
import { connect, ip, Lab, needsRoot, ok } from './lab.js';

const [ENODEV, EINVAL, EMSGSIZE] = [19, 22, 90];
const FAMILIES = [
  { family: PEER_IPV4, text: '127.0.0.1', address: '7f000001', headerBytes: 28 },
  { family: PEER_IPV6, text: '::1', address: '00000000000000000000000000000001', headerBytes: 48 },
] as const;
const DATA_PORT = 7001;

describe('native: UDP sockets of tunnels', () => {
  let lab: Lab;
  let burst: BoundBurst;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    burst = bind(256, SLAB_BYTES);
  });
  afterEach(() => lab.close());

  /** Opens a socket as port `port` of the addon. */
  function open(nsFd: number, port: number, text: string, udpPort: number, flags = 0): number {
    const fd = lab.keep(native.openUdp(nsFd, text, udpPort, flags), `openUdp ${text}`);
    lab.port(port, fd, PORT_UDP, 0);
    return fd;
  }

  /**
   * Puts pieces of one message into rows from `first` on, every second one in two parts. Returns the content of the message and the
   * end of it in the slab.
   */
  function placeMessage(
    first: number,
    at: number,
    pieces: readonly number[],
    peer: Peer,
  ): { data: Buffer; end: number } {
    const data = pieces.map((bytes, i) => content(first + i, bytes));
    let end = at;
    for (const [i, piece] of data.entries()) {
      end = place(burst, first + i, 0, end, piece, i % 2 === 0 ? 8 : 0);
      setPeer(burst.txPeer, first + i, { ...peer, continues: i > 0 });
    }
    return { data: Buffer.concat(data), end };
  }

  for (const { family, text, address } of FAMILIES) {
    const peer: Peer = { family, port: DATA_PORT, scope: 0, address, segmentBytes: 0 };

    it(`send the pieces of a message as one, cut into datagrams again, to ${text}`, () => {
      const ns = lab.namespace();
      open(ns.fd, 0, text, 7000);
      open(ns.fd, 1, text, DATA_PORT, UDP_COALESCED);
      open(ns.fd, 2, text, DATA_PORT + 1);
      const full = Array(MAX_JOINED_ROWS - 1).fill(1000) as number[];
      const shapes = [[...full, 1000], [...full, 7], [1000, 1000, 400], [60], [1400, 1400], [50, 50, 50, 1]];
      const sent: Buffer[] = [];
      let [row, at] = [0, 0];
      for (const shape of shapes) {
        const { data, end } = placeMessage(row, at, shape, { ...peer, segmentBytes: shape[0]! });
        sent.push(data);
        [row, at] = [row + shape.length, end];
      }
      assert.equal(native.transmitBurst(0, row), row);
      assert.deepEqual([...burst.txResult.slice(0, row)], Array(row).fill(0));
      assert.equal(receiveAll(burst, 1, shapes.length), shapes.length);
      for (const [index, shape] of shapes.entries()) {
        assert.deepEqual(received(burst, index), sent[index], `message ${index}`);
        const { segmentBytes } = peerOf(burst.rxPeer, index);
        assert.equal(segmentBytes, shape.length === 1 ? 0 : shape[0], `message ${index}`);
      }

      placeMessage(0, 0, [...full, 7], { ...peer, port: DATA_PORT + 1, segmentBytes: 1000 });
      assert.equal(native.transmitBurst(0, MAX_JOINED_ROWS), MAX_JOINED_ROWS);
      assert.equal(
        receiveAll(burst, 2, MAX_JOINED_ROWS),
        MAX_JOINED_ROWS,
        'where nothing is joined they come one by one',
      );
      for (let i = 0; i < MAX_JOINED_ROWS; i++) {
        assert.deepEqual(received(burst, i), content(i, i === MAX_JOINED_ROWS - 1 ? 7 : 1000));
      }
    });

    it(`send and tell every traffic class with ${text}`, () => {
      const ns = lab.namespace();
      open(ns.fd, 0, text, 7000);
      open(ns.fd, 1, text, DATA_PORT);
      for (let trafficClass = 0; trafficClass < 256; trafficClass++) {
        place(burst, trafficClass, 0, trafficClass * 64, content(trafficClass, 50), 0);
        setPeer(burst.txPeer, trafficClass, { ...peer, trafficClass });
      }
      assert.equal(native.transmitBurst(0, 256), 256);
      assert.equal(receiveAll(burst, 1, 256), 256);
      const heard = Array.from({ length: 256 }, (_, row) => peerOf(burst.rxPeer, row).trafficClass ?? 0);
      assert.deepEqual(heard, [...Array(256).keys()]);
    });

    it(`tell the traffic class of joined datagrams with ${text}, and never join two classes`, () => {
      const ns = lab.namespace();
      open(ns.fd, 0, text, 7000);
      open(ns.fd, 1, text, DATA_PORT, UDP_COALESCED);
      placeMessage(0, 0, [500, 500, 500], { ...peer, segmentBytes: 500, trafficClass: 0xb9 });
      placeMessage(3, 4000, [500, 500], { ...peer, segmentBytes: 500, trafficClass: 0xba });
      assert.equal(native.transmitBurst(0, 5), 5);
      assert.equal(receiveAll(burst, 1, 2), 2);
      assert.deepEqual(
        [0, 1].map((row) => [
          burst.rxLength[row],
          peerOf(burst.rxPeer, row).segmentBytes,
          peerOf(burst.rxPeer, row).trafficClass,
        ]),
        [
          [1500, 500, 0xb9],
          [1000, 500, 0xba],
        ],
      );
    });

    it(`never cut a datagram that is not to be cut, with ${text}`, async () => {
      const ns = lab.namespace();
      ip(ns.name, 'link', 'set', 'lo', 'mtu', '1400');
      open(ns.fd, 0, text, 7000, UDP_DONT_FRAGMENT);
      open(ns.fd, 1, text, DATA_PORT);
      open(ns.fd, 2, text, 7002);
      const { headerBytes } = FAMILIES.find((each) => each.family === family)!;
      const most = 1400 - headerBytes;
      for (const [row, bytes] of [most, most + 1, most].entries()) {
        place(burst, row, 0, row * 4000, content(row, bytes), 0);
        setPeer(burst.txPeer, row, peer);
      }
      place(burst, 3, 2, 12_000, content(3, most + 1), 0);
      setPeer(burst.txPeer, 3, peer);
      assert.equal(native.transmitBurst(0, 4), 3);
      assert.deepEqual([...burst.txResult.slice(0, 4)], [0, -EMSGSIZE, 0, 0]);
      assert.equal(receiveAll(burst, 1, 3), 3);
      assert.deepEqual(
        [0, 1, 2].map((row) => burst.rxLength[row]),
        [most, most, most + 1],
        'another socket fragments',
      );
      // Joined ones are refused as a whole when their pieces are too large, whatever the kernel calls it.
      placeMessage(0, 0, [most, most], { ...peer, segmentBytes: most });
      placeMessage(2, 4000, [most + 1, most + 1], { ...peer, segmentBytes: most + 1 });
      assert.equal(native.transmitBurst(0, 4), 2);
      assert.deepEqual([burst.txResult[0], burst.txResult[1]], [0, 0]);
      assert.equal(burst.txResult[2], burst.txResult[3]);
      assert.ok([-EMSGSIZE, -EINVAL].includes(burst.txResult[2]!), `${burst.txResult[2]}`);
      assert.equal(receiveAll(burst, 1, 2), 2);
    });

    it(`hear nothing when they are deaf, and send all the same, with ${text}`, () => {
      const ns = lab.namespace();
      const deaf = open(ns.fd, 0, text, 0, UDP_DEAF | UDP_DONT_FRAGMENT);
      open(ns.fd, 1, text, DATA_PORT);
      const deafPort = ok(native.udpPort(deaf));
      assert.ok(deafPort > 0);
      for (let row = 0; row < 100; row++) {
        place(burst, row, 1, row * 64, content(row, 60), 0);
        setPeer(burst.txPeer, row, { ...peer, port: deafPort });
      }
      place(burst, 100, 0, 8000, content(100, 60), 0);
      setPeer(burst.txPeer, 100, peer);
      assert.equal(native.transmitBurst(0, 101), 101);
      assert.equal(receiveAll(burst, 1, 1), 1, 'the other end hears it, and no complaint of the deaf one');
      assert.equal(peerOf(burst.rxPeer, 0).port, deafPort);
      assert.equal(native.receiveBurst(0, 0, 8, 0, SLAB_BYTES), 0);
      assert.equal(native.wait(0), 0);
    });
  }

  it('refuse a message of which a piece cannot be sent, and send the others', () => {
    const ns = lab.namespace();
    const { family, text, address } = FAMILIES[0];
    const peer: Peer = { family, port: DATA_PORT, scope: 0, address, segmentBytes: 100 };
    open(ns.fd, 0, text, 7000);
    open(ns.fd, 1, text, DATA_PORT);
    open(ns.fd, 2, text, 7002);
    const results = (rows: number): number[] => [...burst.txResult.slice(0, rows)];
    const stale = (row: number): void => setPeer(burst.txPeer, row, { ...peer, continues: true });

    placeMessage(0, 0, [100, 100, 100], peer);
    placeMessage(3, 1000, [100, 100, 100], peer);
    placeMessage(6, 2000, [100, 100], peer);
    burst.txBodyAt[4] = SLAB_BYTES - 50; // outside
    assert.equal(native.transmitBurst(0, 8), 5);
    assert.deepEqual(results(8), [0, 0, 0, -EINVAL, -EINVAL, -EINVAL, 0, 0]);
    assert.equal(receiveAll(burst, 1, 5), 5);

    placeMessage(0, 0, [100, 100], peer);
    placeMessage(2, 1000, [100, 100], peer);
    burst.txPort[3] = 2; // another socket
    stale(0);
    assert.equal(native.transmitBurst(0, 4), 0);
    assert.deepEqual(results(4), [-EINVAL, -EINVAL, -EINVAL, -EINVAL], 'and a piece of nothing');

    placeMessage(0, 0, Array(MAX_JOINED_ROWS + 2).fill(100) as number[], peer);
    placeMessage(MAX_JOINED_ROWS + 2, 100_000, [100], peer);
    assert.equal(native.transmitBurst(0, MAX_JOINED_ROWS + 3), 1);
    assert.deepEqual(results(MAX_JOINED_ROWS + 3), [...Array(MAX_JOINED_ROWS + 2).fill(-EINVAL), 0]);
    assert.equal(receiveAll(burst, 1, 1), 1);

    place(burst, 0, 0, 0, content(0, 100), 0);
    setPeer(burst.txPeer, 0, peer);
    place(burst, 1, 9, 0, content(0, 100), 0);
    stale(1);
    assert.equal(native.transmitBurst(0, 2), 1);
    assert.deepEqual(results(2), [0, -ENODEV], 'the flag means something for UDP ports only');
  });

  it('take IPv6 datagrams without a checksum where they are told to', async () => {
    const [left, right] = [lab.namespace(), lab.namespace()];
    await connect([left.name, 'veth0'], [right.name, 'veth1', '2001:db8::2/64']);
    const wire = lab.keep(native.openPacket(left.fd, 'veth0', 0), 'openPacket');
    lab.port(0, wire, PORT_PACKET, 0);
    open(right.fd, 1, '2001:db8::2', 7001, UDP_ZERO_CHECKSUM);
    open(right.fd, 2, '2001:db8::2', 7002);
    const mac = JSON.parse(ip(right.name, '-json', 'link', 'show', 'veth1'))[0].address.replaceAll(':', '');
    const address = '20010db80000000000000000000000';
    for (const [row, port] of [7001, 7002].entries()) {
      const payload = content(row, 32);
      const udp = `1b58${port.toString(16)}${(8 + payload.length).toString(16).padStart(4, '0')}0000`;
      const ipv6 = `60000000${(8 + payload.length).toString(16).padStart(4, '0')}1140${address}01${address}02`;
      const frame = Buffer.concat([Buffer.from(`${mac}02000000000186dd${ipv6}${udp}`, 'hex'), payload]);
      place(burst, row, 0, row * 200, frame, 0);
    }
    assert.equal(native.transmitBurst(0, 2), 2);
    assert.equal(receiveAll(burst, 1, 1), 1);
    assert.deepEqual(received(burst, 0), content(0, 32));
    assert.equal(native.receiveBurst(2, 0, 8, 0, SLAB_BYTES), 0);
  });

  it('can be bound to a device', async () => {
    const [left, right] = [lab.namespace(), lab.namespace()];
    await connect([left.name, 'veth0', '192.0.2.1/24'], [right.name, 'veth1', '192.0.2.2/24']);
    lab.port(0, lab.keep(native.openUdp(left.fd, '0.0.0.0', 7000, 0, 'lo'), 'openUdp'), PORT_UDP, 0);
    lab.port(3, lab.keep(native.openUdp(left.fd, '192.0.2.1', 7003, 0, 'veth0'), 'openUdp'), PORT_UDP, 0);
    open(right.fd, 1, '192.0.2.2', 7001);
    open(left.fd, 2, '127.0.0.1', 7002);
    const peer: Peer = { family: PEER_IPV4, port: 7000, scope: 0, address: 'c0000201', segmentBytes: 0 };
    for (const [row, [port, to]] of [[1, peer] as const, [1, { ...peer, port: 7003 }] as const].entries()) {
      place(burst, row, port, row * 100, content(row, 60), 0);
      setPeer(burst.txPeer, row, to);
    }
    assert.equal(native.transmitBurst(0, 2), 2);
    assert.equal(receiveAll(burst, 3, 1), 1);
    assert.deepEqual(received(burst, 0), content(1, 60));
    assert.equal(native.receiveBurst(0, 0, 8, 0, SLAB_BYTES), 0, 'what came over the cable is not for the loopback');
    place(burst, 0, 2, 0, content(2, 60), 0);
    setPeer(burst.txPeer, 0, { ...peer, address: '7f000001' });
    assert.equal(native.transmitBurst(0, 1), 1);
    assert.equal(receiveAll(burst, 0, 1), 1);
    assert.equal(native.openUdp(left.fd, '0.0.0.0', 7005, 0, 'none0'), -ENODEV);
    assert.equal(native.openUdp(left.fd, '0.0.0.0', 7005, 0, 5 as never), -EINVAL);
    assert.equal(native.openUdp(left.fd, '0.0.0.0', 7005, 32), -EINVAL);
  });
});
