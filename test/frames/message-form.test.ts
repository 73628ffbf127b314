// What a message is that the kernel gives a piece size for: read within its bounds, decided by what no station can choose.
import { strict as assert } from 'node:assert';
import * as messageForm from '../../src/frames/message-form.js';
import { DB, WEB } from '../datapath/stations.js';
import { ether, ipv4, ipv6, join, partial, pattern, type Transport, udp } from '../support/frame-builders.js';
import { vxlan } from '../support/vxlan-frames.js';

const NAMES = ['joined', 'super-frame', 'neither'];
const AT = 64;

function tell(message: Uint8Array, pieceBytes: number): string {
  // What lies around the message is not to be read: it would make headers look longer, and pieces like datagrams.
  const memory = new Uint8Array(AT + message.length + 256).fill(8);
  memory.set(message, AT);
  return NAMES[messageForm.tell(new DataView(memory.buffer), AT, message.length, pieceBytes)]!;
}

const data: Transport = udp(4000, 443, pattern(2500, 9));
const messages = {
  IPv4: vxlan(5000, partial(ether({ from: DB, to: WEB }, ipv4({ from: '10.0.0.1', to: '10.0.0.2' }, data))).bytes),
  IPv6: vxlan(5000, partial(ether({ from: DB, to: WEB }, ipv6({ from: 'fd00::1', to: 'fd00::2' }, data))).bytes),
  tagged: vxlan(
    5000,
    partial(ether({ from: DB, to: WEB, tags: [5, 6] }, ipv6({ from: 'fd00::1', to: 'fd00::2' }, data))).bytes,
  ),
};

describe('the form of a message that has a piece size', () => {
  for (const [name, message] of Object.entries(messages)) {
    it(`is one super-frame when a packet of UDP, unfinished, fills it (${name})`, () => {
      for (const size of [1, 7, 22, 1000, 2499]) assert.equal(tell(message, size), 'super-frame', `${size} bytes`);
      assert.equal(tell(message, 2500), 'neither', 'nothing is left to be cut');
    });

    it(`is joined datagrams when the packet ends before or behind it (${name})`, () => {
      for (let length = 1; length < message.length; length++) {
        assert.equal(tell(message.subarray(0, length), 1), 'joined', `${length} bytes`);
      }
      assert.equal(tell(join(message, [0]), 1000), 'joined');
    });
  }
});
