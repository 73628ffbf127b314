// AF_PACKET and UDP ports: frames and datagrams of many sizes, their order, their peers, VLAN tags, joined datagrams.

import { strict as assert } from 'node:assert';
import {
  native,
  PACKET_PROMISCUOUS,
  PACKET_VNET_HEADER,
  PEER_IPV4,
  PEER_IPV6,
  PEER_NONE,
  PORT_PACKET,
  PORT_UDP,
  READY_ERROR,
  UDP_COALESCED,
  UDP_REUSE,
} from '../../src/native/index.js';
import { content, peerOf, place, RECEIVE_AT, receiveAll, received, SLAB_BYTES, setPeer } from './burst-data.js';
import { type BoundBurst, bind } from './forwarder.js';
import { connect, ip, Lab, needsRoot, ok } from './lab.js';

const [ENODEV, EADDRINUSE, EADDRNOTAVAIL, ENETDOWN, EINVAL, EMSGSIZE] = [19, 98, 99, 100, 22, 90];

describe('native: UDP ports', () => {
  let lab: Lab;
  let burst: BoundBurst;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    burst = bind(256, SLAB_BYTES);
  });
  afterEach(() => lab.close());

  for (const [family, text, address] of [
    [PEER_IPV4, '127.0.0.1', '7f000001'],
    [PEER_IPV6, '::1', '00000000000000000000000000000001'],
  ] as const) {
    it(`carries datagrams of all sizes in order from ${text} to ${text}`, () => {
      const ns = lab.namespace();
      lab.port(0, lab.keep(native.openUdp(ns.fd, text, 7000, 0), 'openUdp'), PORT_UDP, 0);
      lab.port(1, lab.keep(native.openUdp(ns.fd, text, 7001, 0), 'openUdp'), PORT_UDP, 0);
      const sizes = Array.from({ length: 150 }, (_, row) => [0, 1, 60, 1500, 4096, 4097, 9000][row % 7]!);
      sizes[10] = 65_000;
      let at = 0;
      for (const [row, bytes] of sizes.entries()) {
        at = place(burst, row, 0, at, content(row, bytes), row % 3 === 0 ? Math.min(50, bytes) : 0);
        setPeer(burst.txPeer, row, { family, port: 7001, scope: 0, address, segmentBytes: 0 });
      }
      assert.equal(native.transmitBurst(0, sizes.length), sizes.length);
      assert.equal(receiveAll(burst, 1, sizes.length), sizes.length);
      for (const [row, bytes] of sizes.entries()) {
        assert.deepEqual(received(burst, row), content(row, bytes), `row ${row}`);
        assert.deepEqual(peerOf(burst.rxPeer, row), { family, port: 7000, scope: 0, address, segmentBytes: 0 });
      }
      assert.equal(native.receiveBurst(1, 0, 8, 0, SLAB_BYTES), 0, 'nothing left');
    });
  }

  it('reaches a link-local address through its scope', async () => {
    const [left, right] = [lab.namespace(), lab.namespace()];
    await connect([left.name, 'veth0', 'fe80::1/64'], [right.name, 'veth1', 'fe80::2/64']);
    lab.port(0, lab.keep(native.openUdp(left.fd, 'fe80::1%veth0', 7000, 0), 'openUdp'), PORT_UDP, 0);
    lab.port(1, lab.keep(native.openUdp(right.fd, 'fe80::2%veth1', 7001, 0), 'openUdp'), PORT_UDP, 0);
    const scope = JSON.parse(ip(left.name, '-json', 'link', 'show', 'veth0'))[0].ifindex;
    place(burst, 0, 0, 0, content(0, 100), 0);
    setPeer(burst.txPeer, 0, {
      family: PEER_IPV6,
      port: 7001,
      scope,
      address: 'fe800000000000000000000000000002',
      segmentBytes: 0,
    });
    assert.equal(native.transmitBurst(0, 1), 1);
    assert.equal(receiveAll(burst, 1, 1), 1);
    assert.equal(peerOf(burst.rxPeer, 0).address, 'fe800000000000000000000000000001');
    assert.equal(native.openUdp(left.fd, 'fe80::1%none0', 7000, 0), -ENODEV);
  });

  it('sends one large body as many datagrams and receives them joined', () => {
    const ns = lab.namespace();
    const address = '7f000001';
    lab.port(0, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7000, 0), 'openUdp'), PORT_UDP, 0);
    lab.port(1, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7001, UDP_COALESCED), 'openUdp'), PORT_UDP, 0);
    lab.port(2, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7002, 0), 'openUdp'), PORT_UDP, 0);
    for (const [row, port] of [7001, 7002].entries()) {
      place(burst, row, 0, row * 20_000, content(row, 10_300), 50);
      setPeer(burst.txPeer, row, { family: PEER_IPV4, port, scope: 0, address, segmentBytes: 1000 });
    }
    assert.equal(native.transmitBurst(0, 2), 2);
    assert.equal(receiveAll(burst, 1, 1), 1);
    assert.deepEqual(received(burst, 0), content(0, 10_300));
    assert.equal(peerOf(burst.rxPeer, 0).segmentBytes, 1000);
    assert.equal(receiveAll(burst, 2, 11), 11);
    const pieces = Array.from({ length: 11 }, (_, row) => received(burst, row));
    assert.deepEqual([...pieces.map((piece) => piece.length)], [...Array(10).fill(1000), 300]);
    assert.deepEqual(Buffer.concat(pieces), content(1, 10_300));
  });

  it('tells for each row why it could not be sent, and sends the others', () => {
    const ns = lab.namespace();
    const address = '7f000001';
    lab.port(0, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7000, 0), 'openUdp'), PORT_UDP, 0);
    lab.port(1, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7001, 0), 'openUdp'), PORT_UDP, 0);
    const sizes = [100, 66_000, 100, 100, 100];
    for (const [row, bytes] of sizes.entries()) {
      place(burst, row, 0, row * 100_000, content(row, bytes), 0);
      setPeer(burst.txPeer, row, { family: PEER_IPV4, port: 7001, scope: 0, address, segmentBytes: 0 });
    }
    setPeer(burst.txPeer, 2, { family: PEER_NONE, port: 0, scope: 0, address: '', segmentBytes: 0 });
    burst.txBodyAt[3] = SLAB_BYTES - 99; // one byte too far
    assert.equal(native.transmitBurst(0, 5), 2);
    assert.deepEqual([...burst.txResult.slice(0, 5)], [0, -EMSGSIZE, -89 /* EDESTADDRREQ */, -EINVAL, 0]);
    assert.equal(receiveAll(burst, 1, 2), 2);
    assert.deepEqual(received(burst, 1), content(4, 100));
  });

  it('refuses addresses that are none, not here, or taken', () => {
    const ns = lab.namespace();
    for (const text of ['', 'localhost', '127.0.0', '127.0.0.1%lo', ':::1', '1.2.3.4.5']) {
      assert.equal(native.openUdp(ns.fd, text, 7000, 0), -EINVAL, text);
    }
    assert.equal(native.openUdp(ns.fd, '192.0.2.1', 7000, 0), -EADDRNOTAVAIL);
    lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7000, UDP_REUSE), 'openUdp');
    lab.keep(native.openUdp(ns.fd, '127.0.0.1', 7000, UDP_REUSE), 'openUdp');
    assert.equal(native.openUdp(ns.fd, '127.0.0.1', 7000, 0), -EADDRINUSE);
  });
});

describe('native: AF_PACKET ports', () => {
  const broadcast = (row: number, tag = ''): Buffer =>
    Buffer.concat([Buffer.from(`ffffffffffff020000000001${tag}88b5`, 'hex'), content(row, 46 + row * 13)]);
  let lab: Lab;
  let burst: BoundBurst;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    burst = bind(256, SLAB_BYTES);
  });
  afterEach(() => lab.close());

  /** Ports 0 and 1 on the two ends of a veth, in two namespaces. */
  async function cable(flags: number): Promise<{ right: string; headerBytes: number }> {
    const [left, right] = [lab.namespace(), lab.namespace()];
    await connect([left.name, 'veth0'], [right.name, 'veth1']);
    const ends = [native.openPacket(left.fd, 'veth0', flags), native.openPacket(right.fd, 'veth1', flags)];
    const headerBytes = ends.map((fd, port) => {
      const bytes = ok(native.packetHeaderBytes(lab.keep(fd, 'openPacket')));
      lab.port(port, fd, PORT_PACKET, bytes);
      return bytes;
    });
    return { right: right.name, headerBytes: headerBytes[0]! };
  }

  for (const flags of [0, PACKET_VNET_HEADER]) {
    it(`carries frames in order, tagged ones whole, ${flags ? 'with' : 'without'} vnet header`, async () => {
      const { headerBytes } = await cable(flags);
      assert.equal(headerBytes > 0, flags !== 0);
      const tags = ['', '81000005', '8100e123', '88a80064', '88a8006481000005'];
      const frames = Array.from({ length: 60 }, (_, row) => broadcast(row, tags[row % tags.length]));
      let at = 0;
      for (const [row, frame] of frames.entries()) {
        at = place(burst, row, 0, at, Buffer.concat([Buffer.alloc(headerBytes), frame]), row % 2 ? headerBytes : 0);
      }
      assert.equal(native.transmitBurst(0, frames.length), frames.length);
      assert.equal(receiveAll(burst, 1, frames.length), frames.length);
      for (const [row, frame] of frames.entries()) assert.deepEqual(received(burst, row), frame, `row ${row}`);
      assert.equal(native.receiveBurst(0, 0, 8, 0, SLAB_BYTES), 0, 'what it sent is not heard again');
    });
  }

  it('shifts the checksum offset of a partly finished frame whose tag is put back', async () => {
    const { headerBytes } = await cable(PACKET_VNET_HEADER);
    const frame = broadcast(0, '81000005');
    const header = Buffer.alloc(headerBytes);
    header[0] = 1; // NEEDS_CSUM: from byte 38 (behind an IPv4 header) to the end, stored 6 behind that
    header.writeUInt16LE(38, 6);
    header.writeUInt16LE(6, 8);
    place(burst, 0, 0, 0, Buffer.concat([header, frame]), 0);
    assert.equal(native.transmitBurst(0, 1), 1, `${burst.txResult[0]}`);
    assert.equal(receiveAll(burst, 1, 1), 1);
    assert.deepEqual(received(burst, 0), frame);
    const start = burst.rxStart[0]!;
    const arrived = Buffer.from(burst.slab.slice(start - headerBytes, start));
    assert.deepEqual([arrived[0], arrived.readUInt16LE(6), arrived.readUInt16LE(8)], [1, 38, 6]);
  });

  it('receives what fits into the room it is given, and the rest later', async () => {
    await cable(0);
    let at = 0;
    for (let row = 0; row < 8; row++) at = place(burst, row, 0, at, broadcast(row), 0);
    assert.equal(native.transmitBurst(0, 8), 8);
    assert.equal(native.receiveBurst(1, 0, 8, RECEIVE_AT, RECEIVE_AT + 65_000), 0, 'no room for a frame');
    assert.equal(native.receiveBurst(1, 0, 8, RECEIVE_AT, RECEIVE_AT + 68_000), 8, 'room for one large or 8 small');
    for (let row = 0; row < 8; row++) assert.deepEqual(received(burst, row), broadcast(row));
  });

  it('says ENETDOWN once when its interface goes down, and works again afterwards', async () => {
    const { right } = await cable(PACKET_PROMISCUOUS);
    ip(right, 'link', 'set', 'veth1', 'down');
    assert.equal(native.wait(100_000) > 0, true);
    assert.ok(burst.ready.includes(1 | READY_ERROR));
    assert.equal(native.receiveBurst(1, 0, 8, 0, SLAB_BYTES), -ENETDOWN);
    assert.equal(native.receiveBurst(1, 0, 8, 0, SLAB_BYTES), 0);
    place(burst, 0, 1, 0, broadcast(0), 0);
    assert.equal(native.transmitBurst(0, 1), 0);
    assert.equal(burst.txResult[0], -ENETDOWN);
    ip(right, 'link', 'set', 'veth1', 'up');
    assert.equal(native.transmitBurst(0, 1), 1);
    assert.equal(receiveAll(burst, 0, 1), 1);
  });

  it('refuses an interface that is not there', () => {
    const ns = lab.namespace();
    assert.equal(native.openPacket(ns.fd, 'veth0', 0), -ENODEV);
    assert.equal(native.openPacket(ns.fd, '', 0), -ENODEV);
    assert.equal(native.openPacket(ns.fd, 'lo', 8), -EINVAL);
  });
});
