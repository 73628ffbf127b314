// Super-frames inside of VXLAN over TAP devices (Linux 6.17): what the kernel hands over, and what it makes of it again.

import { strict as assert } from 'node:assert';
import {
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TSO_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_TUNNEL_CSUM,
  OFFLOAD_TUNNEL_GSO,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PORT_TAP,
  TAP_VNET_HEADER,
  TUNNEL_HEADER_BYTES,
  VNET_HEADER_BYTES,
} from '../../src/native/index.js';
import { Forwarder } from './forwarder.js';
import { configure, ip, Lab, MOST_UNREAD_BYTES, needsRoot, ok, ping, transfer } from './lab.js';

const PLAIN = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6 | OFFLOAD_TSO_ECN | OFFLOAD_USO4 | OFFLOAD_USO6;
const TUNNEL = OFFLOAD_TUNNEL_GSO | OFFLOAD_TUNNEL_CSUM;
const TRANSFER_BYTES = 64 << 20;
const RECEIVED_BYTES = TRANSFER_BYTES - MOST_UNREAD_BYTES;

describe('native: tunnel offloads of TAP devices', () => {
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('are granted only with others, and can be given back', () => {
    const ns = lab.namespace();
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    assert.equal(native.probeTapOffloads(fd, TUNNEL), 0);
    assert.equal(native.probeTapOffloads(fd, OFFLOAD_CHECKSUM | TUNNEL), OFFLOAD_CHECKSUM);
    const granted = ok(native.probeTapOffloads(fd, PLAIN | TUNNEL));
    assert.ok(granted === PLAIN || granted === (PLAIN | TUNNEL), `${granted}`);
    assert.equal(native.probeTapOffloads(fd, PLAIN | OFFLOAD_TUNNEL_CSUM), PLAIN, 'checksums come with super-frames');
    assert.equal(native.probeTapOffloads(fd, PLAIN), PLAIN);
    assert.equal(native.probeTapOffloads(fd, 0x200), -22, 'EINVAL');
  });

  for (const [name, outer, checksum] of [
    ['IPv4', ['192.0.2.1', '192.0.2.2'], 'noudpcsum'],
    ['IPv4 with checksums', ['192.0.2.1', '192.0.2.2'], 'udpcsum'],
    ['IPv6', ['2001:db8:1::1', '2001:db8:1::2'], 'udp6zerocsumrx'],
  ] as const) {
    it(`carry super-frames of kernel VXLAN over ${name} from one TAP to another, unread`, async () => {
      const spaces = [lab.namespace(), lab.namespace()] as const;
      const bits = outer[0].includes(':') ? 64 : 24;
      let headerBytes = VNET_HEADER_BYTES;
      for (const [side, ns] of spaces.entries()) {
        const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
        const granted = ok(native.probeTapOffloads(fd, PLAIN | TUNNEL));
        if (granted & OFFLOAD_TUNNEL_GSO) headerBytes = TUNNEL_HEADER_BYTES;
        lab.port(side, fd, PORT_TAP, headerBytes);
        configure(ns.name, 'tap0', `${outer[side]}/${bits}`);
        const ends = ['local', outer[side]!, 'remote', outer[1 - side]!, 'dstport', '4789', checksum];
        ip(ns.name, 'link', 'add', 'vx0', 'type', 'vxlan', 'id', '42', ...ends);
        configure(ns.name, 'vx0', `198.51.100.${side + 1}/24`, `2001:db8:2::${side + 1}/64`);
      }
      const [left, right] = spaces;
      const forwarder = new Forwarder(headerBytes);
      assert.equal(await forwarder.during(ping(lab, left.name, '198.51.100.2')), 3);
      for (const to of ['198.51.100.2', '2001:db8:2::2']) {
        const before = forwarder.sent;
        const { bytes } = await forwarder.during(transfer(lab, right.name, left.name, to, TRANSFER_BYTES));
        assert.ok(bytes >= RECEIVED_BYTES, `${bytes} bytes`);
        const frames = forwarder.sent - before;
        if (headerBytes === TUNNEL_HEADER_BYTES) {
          assert.ok(frames < TRANSFER_BYTES / 1400, `${frames} frames: whole super-frames, not their segments`);
        }
      }
      assert.equal(forwarder.failed, 0);
    });
  }
});
