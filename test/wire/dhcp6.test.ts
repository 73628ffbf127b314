// DHCPv6 messages: the layout of RFC 8415 sections 8 and 21.1, and whatever somebody makes up.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { INFORMATION_REQUEST, OPTION6, option6, readDhcp6, writeDhcp6 } from '../../src/wire/dhcp6.js';
import { hexBytes } from '../support/hex.js';

const INFORMATION = '0b 123456 0001 000a 00030001020000000001 0006 0004 00170018';

describe('wire/dhcp6', () => {
  it('reads and writes a message', () => {
    const read = readDhcp6(hexBytes(INFORMATION));
    assert.deepEqual(read, {
      type: INFORMATION_REQUEST,
      transaction: 0x123456,
      options: [
        { code: OPTION6.clientId, value: hexBytes('00030001020000000001') },
        { code: OPTION6.optionRequest, value: hexBytes('00170018') },
      ],
    });
    assert.deepEqual(writeDhcp6(read!), hexBytes(INFORMATION));
    assert.deepEqual(option6(read!, OPTION6.optionRequest), hexBytes('00170018'));
    assert.equal(option6(read!, OPTION6.serverId), null);
  });

  it('refuses a message that is cut in an option, and those of relays', () => {
    const bytes = hexBytes(INFORMATION);
    for (let length = 0; length < bytes.length; length++) {
      // Behind the transaction and behind the first option it is a message again.
      const isWhole = length === 4 || length === 18;
      assert.equal(readDhcp6(bytes.subarray(0, length)) !== null, isWhole, `${length} bytes`);
    }
    for (const type of ['00', '0c', '0d', 'ff']) assert.equal(readDhcp6(hexBytes(`${type}123456`)), null);
  });

  it('reads back what it wrote, and survives any bytes', () => {
    const option = fc.record({ code: fc.integer({ min: 0, max: 65535 }), value: fc.uint8Array({ maxLength: 64 }) });
    const message = fc.record({
      type: fc.integer({ min: 1, max: 11 }),
      transaction: fc.integer({ min: 0, max: 0xffffff }),
      options: fc.array(option, { maxLength: 8 }),
    });
    fc.assert(
      fc.property(message, (sent) => {
        const wire = writeDhcp6(sent as Parameters<typeof writeDhcp6>[0]);
        assert.deepEqual(JSON.stringify(readDhcp6(wire)), JSON.stringify(sent));
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const read = readDhcp6(bytes);
        if (read !== null) assert.deepEqual(writeDhcp6(read), bytes);
      }),
      { numRuns: 2000 },
    );
  });
});
