// DHCP messages in a line: of clients and of servers, and nothing where there is no sound message.
import { strict as assert } from 'node:assert';
import { describeFrame } from '../../src/wire/describe.js';
import { ACK, DISCOVER, OPTION, REPLY, REQUEST, writeDhcp4 } from '../../src/wire/dhcp4.js';
import { SOLICIT, writeDhcp6 } from '../../src/wire/dhcp6.js';
import { BROADCAST, type BuiltFrame, ether, ipv4, ipv6, udp } from '../support/frame-builders.js';
import { hexBytes } from '../support/hex.js';

const WEB = '02:00:00:00:00:01';

function message(
  operation: number,
  type: number,
  yourAddress: number,
  options: [number, Uint8Array][] = [],
): Uint8Array {
  const base = {
    transaction: 1,
    wantsBroadcast: false,
    clientAddress: 0,
    relayAddress: 0,
    hardware: hexBytes('020000000001'),
  };
  const all = new Map([[OPTION.messageType as number, Uint8Array.of(type)], ...options]);
  return writeDhcp4({ ...base, operation, yourAddress, options: all }, 576);
}

function overIpv4(from: number, to: number, payload: Uint8Array): BuiltFrame {
  return ether({ from: WEB, to: BROADCAST }, ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, udp(from, to, payload)));
}

function line({ bytes }: BuiltFrame, captured = bytes.length): string {
  const text = describeFrame(new DataView(bytes.buffer), 0, captured, bytes.length);
  return text.slice(text.indexOf(': ') + 2);
}

describe('wire/describe-dhcp', () => {
  const discover = message(REQUEST, DISCOVER, 0);

  it('names message, client and address', () => {
    assert.equal(line(overIpv4(68, 67, discover)), `DHCP discover, client ${WEB}, length 300`);
    const wanted: [number, Uint8Array] = [OPTION.requestedAddress, hexBytes('c0000205')];
    const asking = message(REQUEST, DISCOVER, 0, [wanted]);
    assert.equal(line(overIpv4(68, 67, asking)), `DHCP discover, client ${WEB}, address 192.0.2.5, length 300`);
    const ack = message(REPLY, ACK, 0xc0000206 | 0, [wanted]);
    assert.equal(line(overIpv4(67, 68, ack)), `DHCP ack, client ${WEB}, address 192.0.2.6, length 300`);
    const solicit = writeDhcp6({ type: SOLICIT, transaction: 1, options: [] });
    const packet = ipv6({ from: 'fe80::1', to: 'ff02::1:2' }, udp(546, 547, solicit));
    assert.equal(line(ether({ from: WEB, to: '33:33:00:01:00:02' }, packet)), 'DHCPv6 solicit, length 4');
  });

  it('says no more than UDP of other ports, of messages that are cut, and of what is no message', () => {
    assert.equal(line(overIpv4(68, 69, discover)), 'UDP, length 300');
    assert.equal(line(overIpv4(68, 67, discover.slice(0, 239))), 'UDP, length 239');
    assert.equal(line(overIpv4(68, 67, message(REQUEST, 99, 0))), 'UDP, length 300');
    assert.equal(line(overIpv4(68, 67, new Uint8Array(0))), 'UDP, length 0');
    assert.equal(line(overIpv4(68, 67, discover), 200), 'UDP, length 300');
  });
});
