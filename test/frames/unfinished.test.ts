// What a sender's kernel has left undone of a frame that came out of a socket, which nobody tells.
import { strict as assert } from 'node:assert';
import * as unfinished from '../../src/frames/unfinished.js';
import { DB, WEB } from '../datapath/stations.js';
import {
  type BuiltFrame,
  ether,
  GSO_ECN,
  GSO_TCP4,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  type Packet,
  partial,
  pattern,
  readVnet,
  TCP_ACK,
  TCP_CWR,
  type Transport,
  tcp,
  udp,
  VNET_BYTES,
} from '../support/frame-builders.js';

const MTU = 1450;

const packets: Record<string, (transport: Transport) => Packet> = {
  IPv4: (transport) => ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, transport),
  IPv6: (transport) => ipv6({ from: 'fd00::1', to: 'fd00::2' }, transport),
};

function frameOf(packet: Packet, tags: readonly number[] = []): BuiltFrame {
  return ether({ from: DB, to: WEB, tags }, packet);
}

/** What is written in front of the frame; null: nothing is left to do. */
function headerOf({ bytes }: BuiltFrame, udpBytes = 0) {
  const memory = new Uint8Array(VNET_BYTES + bytes.length).fill(0xee, 0, VNET_BYTES);
  memory.set(bytes, VNET_BYTES);
  const isLeft = unfinished.writeHeader(new DataView(memory.buffer), VNET_BYTES, bytes.length, MTU, udpBytes);
  const fields = readVnet(memory.subarray(0, VNET_BYTES));
  assert.equal(fields !== null, isLeft);
  assert.deepEqual(memory.subarray(VNET_BYTES), bytes, 'the frame itself is as it was');
  return fields;
}

describe('what is left undone of a frame out of a socket', () => {
  for (const [family, packet] of Object.entries(packets)) {
    for (const [protocol, transport] of [
      ['TCP', tcp({}, 'data')],
      ['UDP', udp(4000, 53, 'who?')],
    ] as const) {
      it(`is the checksum of ${protocol} over ${family} that is the sum of its pseudo-header`, () => {
        const frame = frameOf(packet(transport));
        assert.equal(headerOf(frame), null, 'a finished one');
        assert.deepEqual(headerOf(partial(frame)), partial(frame).vnet);
        for (const tags of [[5], [5, 6]]) {
          const tagged = partial(frameOf(packet(transport), tags));
          assert.deepEqual(headerOf(tagged), tagged.vnet, `${tags.length} VLAN tags`);
        }
      });
    }

    it(`is the segmentation of a TCP packet over ${family} that is longer than the MTU`, () => {
      const headers = family === 'IPv4' ? 40 : 60;
      const gsoType = family === 'IPv4' ? GSO_TCP4 : GSO_TCP6;
      for (const flags of [TCP_ACK, TCP_ACK | TCP_CWR]) {
        for (const tags of [[], [5]]) {
          const frame = partial(frameOf(packet(tcp({ flags }, pattern(9000))), tags));
          assert.deepEqual(headerOf(frame), {
            ...frame.vnet,
            gsoType: flags === TCP_ACK ? gsoType : gsoType | GSO_ECN,
            headerLength: 14 + 4 * tags.length + headers,
            gsoSize: MTU - headers,
          });
        }
      }
    });

    it(`is the segmentation of a UDP packet over ${family} of which the kernel told the size of segments`, () => {
      const headers = family === 'IPv4' ? 28 : 48;
      for (const tags of [[], [5]]) {
        const frame = partial(frameOf(packet(udp(4000, 443, pattern(9000))), tags));
        const headerLength = 14 + 4 * tags.length + headers;
        assert.deepEqual(headerOf(frame, 1200), { ...frame.vnet, gsoType: GSO_UDP, headerLength, gsoSize: 1200 });
      }
    });
  }

  it('is nothing where no kernel leaves anything', () => {
    const sent = packets.IPv4!(udp(4000, 53, 'who?'));
    const fragment = ipv4({ from: '10.0.0.1', to: '10.0.0.2', flags: 0x2000 }, udp(4000, 53, 'who?'));
    for (const frame of [frameOf(sent, [5, 6, 7]), frameOf(fragment)]) assert.equal(headerOf(partial(frame)), null);
    assert.equal(headerOf(ether({ from: DB, to: WEB }, 'no packet')), null);
  });

  it('is never looked for outside of the frame', () => {
    for (const tags of [[], [5, 6]]) {
      const whole = partial(frameOf(packets.IPv6!(tcp({}, 'data')), tags));
      for (let length = 14; length < whole.bytes.length; length++) {
        assert.equal(headerOf({ ...whole, bytes: whole.bytes.subarray(0, length) }), null, `${length} bytes`);
      }
    }
  });
});
