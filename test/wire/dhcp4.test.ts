// DHCPv4 messages: the figures of RFC 2131 and 2132, options in parts and in other fields, and whatever somebody makes up.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import {
  addressOption,
  type Dhcp4Message,
  DISCOVER,
  OPTION,
  REQUEST,
  readDhcp4,
  writeDhcp4,
} from '../../src/wire/dhcp4.js';
import { hexBytes } from '../support/hex.js';

const COOKIE = '63825363';
const ROOM = 1472;

function zeros(bytes: number): string {
  return '00'.repeat(bytes);
}

/** Header of a DHCPDISCOVER of 02:00:00:00:00:01 with the broadcast flag, up to the options. */
function header({ sname = zeros(64), file = zeros(128) } = {}): string {
  const addresses = '0a500005 00000000 00000000 00000000';
  return `01010600 deadbeef 0003 8000 ${addresses} 020000000001 ${zeros(10)} ${sname} ${file} ${COOKIE}`;
}

function message(options: [number, Uint8Array][], fields: Partial<Dhcp4Message> = {}): Dhcp4Message {
  return {
    operation: REQUEST,
    transaction: 0xdeadbeef,
    wantsBroadcast: false,
    clientAddress: 0,
    yourAddress: 0,
    relayAddress: 0,
    hardware: hexBytes('020000000001'),
    options: new Map(options),
    ...fields,
  };
}

describe('wire/dhcp4', () => {
  it('reads the fields of a message', () => {
    const read = readDhcp4(hexBytes(`${header()} 350101 3204 0a500007 00 3d07 01020000000001 ff 99`));
    const options: [number, Uint8Array][] = [
      [OPTION.messageType, Uint8Array.of(DISCOVER)],
      [OPTION.requestedAddress, hexBytes('0a500007')],
      [OPTION.clientId, hexBytes('01020000000001')],
    ];
    assert.deepEqual(read, message(options, { wantsBroadcast: true, clientAddress: 0x0a500005 }));
    assert.equal(addressOption(read!, OPTION.requestedAddress), 0x0a500007);
    assert.equal(addressOption(read!, OPTION.clientId), null, 'an address has four bytes');
    assert.equal(addressOption(read!, OPTION.serverId), null);
  });

  it('writes the fields in their places, in 300 bytes at least', () => {
    const written = writeDhcp4(
      message([[OPTION.messageType, Uint8Array.of(DISCOVER)]], { wantsBroadcast: true, clientAddress: 0x0a500005 }),
      ROOM,
    );
    const expected = hexBytes(`${header()} 350101 ff ${zeros(56)}`);
    expected.set([0, 0], 8);
    assert.deepEqual(written, expected);
    assert.equal(written.length, 300);
  });

  it('reads options that go on in the fields of the file and of the server name (RFC 2132 section 9.3)', () => {
    const file = `0c03 776562 ff ${zeros(122)}`;
    const sname = `0f04 77656674 ff ${zeros(57)}`;
    const read = (where: string) => readDhcp4(hexBytes(`${header({ file, sname })} 3401${where} ff`))?.options;
    const hostName: [number, Uint8Array] = [OPTION.hostName, new TextEncoder().encode('web')];
    const domain: [number, Uint8Array] = [OPTION.domainName, new TextEncoder().encode('weft')];
    const overload = (value: number): [number, Uint8Array] => [OPTION.overload, Uint8Array.of(value)];
    assert.deepEqual(read('01'), new Map([overload(1), hostName]));
    assert.deepEqual(read('02'), new Map([overload(2), domain]));
    assert.deepEqual(read('03'), new Map([overload(3), hostName, domain]));
  });

  it('puts the parts of an option together in the order of RFC 3396', () => {
    const file = `7902 0304 ff ${zeros(123)}`;
    const sname = `7902 0506 ff ${zeros(59)}`;
    const read = readDhcp4(hexBytes(`${header({ file, sname })} 7901 01 340103 7901 02 ff`));
    assert.deepEqual(read?.options.get(OPTION.classlessRoutes), Uint8Array.of(1, 2, 3, 4, 5, 6));
  });

  it('refuses what is no sound message of an Ethernet station', () => {
    const sound = `${header()} 350101 ff`;
    assert.notEqual(readDhcp4(hexBytes(sound)), null);
    const broken = {
      'another cookie': sound.replace(COOKIE, '63825364'),
      'another hardware': sound.replace('01010600', '01060600'),
      'another length of MAC': sound.replace('01010600', '01011000'),
      'an option beyond the end': `${header()} 3505 01 ff`,
      'an option without its length': `${header()} 35`,
      'an option beyond the end of the file field': `${header({ file: `0cff ${zeros(126)}` })} 340101 ff`,
    };
    for (const [what, text] of Object.entries(broken)) assert.equal(readDhcp4(hexBytes(text)), null, what);
    const bytes = hexBytes(sound);
    for (let length = 0; length < 243; length++) {
      const isWhole = length === 240;
      assert.equal(readDhcp4(bytes.subarray(0, length)) !== null, isWhole, `${length} bytes`);
    }
  });

  it('reads back what it wrote, whatever the options, as long as they fit', () => {
    const code = fc.integer({ min: 1, max: 254 }).filter((value) => value !== OPTION.overload);
    const options = fc.uniqueArray(fc.tuple(code, fc.uint8Array({ maxLength: 300 })), {
      selector: ([key]) => key,
      maxLength: 8,
    });
    fc.assert(
      fc.property(options, (list) => {
        const sent = message(list as [number, Uint8Array][]);
        assert.deepEqual(readDhcp4(writeDhcp4(sent, 65000)), sent);
      }),
    );
  });

  it('never writes more than it may, leaves out the least important, and cuts none', () => {
    const values = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 });
    fc.assert(
      fc.property(values, fc.integer({ min: 300, max: 700 }), (list, room) => {
        const options = list.map((value, index): [number, Uint8Array] => [100 + index, value]);
        const bytes = writeDhcp4(message(options), room);
        assert.ok(bytes.length <= room, `${bytes.length} of ${room}`);
        const read = readDhcp4(bytes)!.options;
        read.delete(OPTION.overload);
        for (const [key, value] of read) assert.deepEqual(value, new Map(options).get(key));
        if (options.length > 0 && list[0]!.length + 6 <= room - 240) assert.ok(read.has(100), 'the first one is there');
      }),
    );
  });

  it('survives any bytes', () => {
    const start = hexBytes(header());
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (bytes, isHeaded) => {
        const read = readDhcp4(isHeaded ? Uint8Array.from([...start, ...bytes]) : bytes);
        if (read !== null) assert.equal(read.hardware.length, 6);
      }),
      { numRuns: 2000 },
    );
  });
});
