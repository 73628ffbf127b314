// Multicast groups of UDP sockets: who hears them, and how they are sent to.

import { strict as assert } from 'node:assert';
import {
  native,
  PEER_IPV4,
  PEER_IPV6,
  PORT_PACKET,
  PORT_UDP,
  UDP_COALESCED,
  UDP_DEAF,
  UDP_DONT_FRAGMENT,
  UDP_REUSE,
} from '../../src/native/index.js';
import { content, type Peer, place, receiveAll, received, SLAB_BYTES, setPeer } from './burst-data.js';
import { type BoundBurst, bind } from './forwarder.js';
import { connect, Lab, needsRoot, ok } from './lab.js';

const [ENODEV, EADDRNOTAVAIL, EBADF, EINVAL] = [19, 99, 9, 22];
const GROUP_PORT = 4789;

describe('native: multicast', () => {
  let lab: Lab;
  let burst: BoundBurst;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    burst = bind(64, SLAB_BYTES);
  });
  afterEach(() => lab.close());

  for (const { family, group, address, other, left, right, hopsAt } of [
    {
      family: PEER_IPV4,
      group: '239.1.2.3',
      address: 'ef010203',
      other: '239.1.2.4',
      left: '192.0.2.1',
      right: '192.0.2.2',
      hopsAt: 14 + 8,
    },
    {
      family: PEER_IPV6,
      group: 'ff05::1:3',
      address: 'ff050000000000000000000000010003',
      other: 'ff05::1:4',
      left: '2001:db8::1',
      right: '2001:db8::2',
      hopsAt: 14 + 7,
    },
  ]) {
    it(`reaches who joined ${group}, as far as it is told, and nobody else`, async () => {
      const [sender, hearer] = [lab.namespace(), lab.namespace()];
      const bits = family === PEER_IPV4 ? 24 : 64;
      await connect([sender.name, 'veth0', `${left}/${bits}`], [hearer.name, 'veth1', `${right}/${bits}`]);
      const open = (port: number, ns: number, text: string, udpPort: number, flags: number): number => {
        const fd = lab.keep(native.openUdp(ns, text, udpPort, flags), `openUdp ${text}`);
        lab.port(port, fd, PORT_UDP, 0);
        return fd;
      };
      const from = open(0, sender.fd, left, 0, UDP_DEAF | UDP_DONT_FRAGMENT);
      const joined = open(1, hearer.fd, group, GROUP_PORT, UDP_COALESCED);
      const any = open(2, hearer.fd, family === PEER_IPV4 ? '0.0.0.0' : '::', GROUP_PORT + 1, 0);
      const local = open(3, sender.fd, group, GROUP_PORT, UDP_REUSE);
      lab.port(4, lab.keep(native.openPacket(hearer.fd, 'veth1', 0), 'openPacket'), PORT_PACKET, 0);
      ok(native.joinGroup(joined, group, 'veth1'), 'joinGroup');
      ok(native.joinGroup(local, group, 'veth0'), 'joinGroup');
      ok(native.joinGroup(any, other, 'veth1'), 'joinGroup');
      ok(native.setMulticast(from, 'veth0', 17), 'setMulticast');

      const peer: Peer = { family, port: GROUP_PORT, scope: 0, address, segmentBytes: 0 };
      const send = (): void => {
        for (let row = 0; row < 2; row++) {
          place(burst, row, 0, row * 100, content(row, 60), 0);
          setPeer(burst.txPeer, row, { ...peer, port: GROUP_PORT + row });
        }
        assert.equal(native.transmitBurst(0, 2), 2);
      };
      send();
      assert.equal(receiveAll(burst, 1, 1), 1);
      assert.deepEqual(received(burst, 0), content(0, 60));
      assert.equal(native.receiveBurst(2, 0, 8, 0, SLAB_BYTES), 0, 'another group is not heard');
      assert.equal(native.receiveBurst(3, 0, 8, 0, SLAB_BYTES), 0, 'nor is what leaves on the same host');
      const frames = ok(native.receiveBurst(4, 0, 16, 0, SLAB_BYTES));
      const udp = Array.from({ length: frames }, (_, row) => received(burst, row)).filter((frame) => {
        const protocol = family === PEER_IPV4 ? frame[14 + 9] : frame[14 + 6];
        return protocol === 17;
      });
      assert.deepEqual(
        udp.map((frame) => frame[hopsAt]),
        [17, 17],
      );

      ok(native.leaveGroup(joined, group, 'veth1'), 'leaveGroup');
      send();
      assert.equal(native.receiveBurst(1, 0, 8, 0, SLAB_BYTES), 0);
      assert.equal(native.leaveGroup(joined, group, 'veth1'), -EADDRNOTAVAIL);
    });
  }

  it('is refused where it makes no sense', () => {
    const { fd: ns } = lab.namespace();
    const v4 = lab.keep(native.openUdp(ns, '127.0.0.1', 0, 0), 'openUdp');
    const v6 = lab.keep(native.openUdp(ns, '::1', 0, 0), 'openUdp');
    assert.equal(native.joinGroup(v4, '192.0.2.1', 'lo'), -EINVAL, 'not a group');
    assert.equal(native.joinGroup(v6, '239.1.2.3', 'lo'), -EINVAL, 'of the other family');
    assert.equal(native.joinGroup(v4, 'ff05::3', 'lo'), -EINVAL);
    assert.equal(native.joinGroup(v4, '239.1.2.3', 'none0'), -ENODEV);
    assert.equal(native.joinGroup(v4, '239.1.2.3', 'a-name-too-long-'), -EINVAL);
    assert.equal(native.joinGroup(0, '239.1.2.3', 'lo'), -EBADF);
    assert.equal(native.setMulticast(v4, 'none0', 64), -ENODEV);
    assert.equal(native.setMulticast(v4, 'lo', 0), -EINVAL);
    assert.equal(native.setMulticast(v4, '', 256), -EINVAL);
    assert.equal(native.setMulticast(v6, '', 64), 0);
    assert.equal(native.udpPort(1), -EBADF);
  });
});
