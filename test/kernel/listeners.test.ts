/** Which programs serve ports of a namespace: the kernel's own tables, and what is no such table. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import fc from 'fast-check';
import { findSocketOwner, readListeners } from '../../src/control/kernel/listeners.js';
import { parseSocketTable } from '../../src/control/kernel/socket-table.js';
import { needsRoot, Scratch } from './scratch.js';

const TCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0277 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0000000000000000 100 0 0 10 0
   1: 00000000:1F95 00000000:0000 0A 00000000:00000005 00:00000000 00000000  1000        0 4294967295 1 0000000000000000 100
   2: 0A50500A:1F95 0B50500A:D431 01 00000000:00000000 02:000A7214 00000000     0        0 23 2 0000000000000000 20 4 31 10 -1
   3: 0A50500A:1F95 0C50500A:D431 06 00000000:00000000 03:00000F2A 00000000     0        0 0 3 0000000000000000
`;
const TCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31 1 0000000000000000 100 0 0 10 0
   1: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 32 1 0000000000000000 100 0 0 10 0
   2: 0000000000000000FFFF0000010200C0:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 33 1 0000000000000000 100 0 0 10 0
`;
const UDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  531: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 41 2 0000000000000000 0
 9841: 010200C0:9C40 020200C0:0035 01 00000000:00000000 00:00000000 00000000     0        0 42 2 0000000000000000 0
`;

describe('a table of sockets', () => {
  // The words of addresses are printed in the order of this machine.
  before(() => {
    assert.equal(new Uint8Array(Uint16Array.of(1).buffer)[0], 1, 'these tables are of a little-endian machine');
  });

  it('tells who waits for whoever comes, and leaves connections out', () => {
    assert.deepEqual(parseSocketTable(TCP, 'tcp'), [
      { address: '127.0.0.1', port: 631, inode: 21 },
      { address: '0.0.0.0', port: 8085, inode: 4294967295 },
    ]);
    assert.deepEqual(parseSocketTable(TCP6, 'tcp'), [
      { address: '::', port: 22, inode: 31 },
      { address: '2001:db8::1', port: 443, inode: 32 },
      { address: '192.0.2.1', port: 8080, inode: 33 },
    ]);
    assert.deepEqual(parseSocketTable(UDP, 'udp'), [{ address: '127.0.0.53', port: 53, inode: 41 }]);
  });

  it('may end anywhere: a row counts when its inode is there, and then as what it is', () => {
    const whole = parseSocketTable(TCP6, 'tcp');
    for (let length = 0; length < TCP6.length; length++) {
      const read = parseSocketTable(TCP6.slice(0, length), 'tcp');
      assert.deepEqual(read, whole.slice(0, read.length), `the first ${length} characters`);
    }
  });

  it('may have anything between its rows', () => {
    const [, first = '', second = ''] = TCP.split('\n');
    const junk = [
      '',
      '0:',
      first.replace('0A', 'ZZ'),
      first.replace(':0277', ':02777'),
      first.slice(7),
      'x'.repeat(9999),
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom(...junk))), (lines) => {
        const text = [...lines, first, ...lines, second].map((line) => line.replaceAll('\n', ' ')).join('\n');
        assert.deepEqual(parseSocketTable(text, 'tcp'), parseSocketTable(TCP, 'tcp'));
      }),
    );
  });
});

describe('kernel: sockets of a namespace', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('are those of that namespace, and belong to the program that has them open', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    const socket = createSocket('udp6').bind(0, '::1');
    try {
      await Promise.all([once(server, 'listening'), once(socket, 'listening')]);
      const { port } = server.address() as AddressInfo;
      const here = scratch.kernel.hostNamespace().fd;
      const tcp = readListeners(here, 'tcp').filter((each) => each.port === port && each.address === '127.0.0.1');
      const udp = readListeners(here, 'udp').filter((each) => each.port === socket.address().port);
      assert.deepEqual([tcp.length, udp.map(({ address }) => address)], [1, ['::1']]);
      const owner = await findSocketOwner(tcp[0]!.inode);
      assert.deepEqual([owner?.pid, owner?.isWeft], [process.pid, true]);
      assert.notEqual(owner?.name, '');
      const elsewhere = (await scratch.place()).namespace.fd;
      assert.deepEqual([readListeners(elsewhere, 'tcp'), readListeners(elsewhere, 'udp')], [[], []]);
    } finally {
      server.close();
      socket.close();
    }
  });

  it('belong to nobody when no program has them open', async () => {
    assert.equal(await findSocketOwner(0), null);
  });
});
