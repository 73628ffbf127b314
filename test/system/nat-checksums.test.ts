/**
 * Checksums of what leaves weft, judged by a parser that knows nothing of it (tshark with validation switched on): addresses,
 * ports and identifiers are rewritten in headers, in the packets that ICMP errors quote, and in fragments.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { useLab } from '../support/system-lab.js';
import { createNat, curl, exchangeUdp, type Nat, serveWeb, url } from '../support/system-nat.js';
import { must, waitFor } from '../support/system-process.js';
import { WireCapture } from '../support/wire-capture.js';

const WEB = 80;
const ECHO = 7000;
const CLOSED = 7999;
const VALIDATED = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
const CHECKED = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'];
const ICMP = CHECKED.indexOf('icmp');
const ICMPV6 = CHECKED.indexOf('icmpv6');
/** Values of tshark's `*.checksum.status`. */
const BAD = '0';
const GOOD = '1';

describe('checksums of what weft has translated', function checksums() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;

  before(async () => {
    nat = await createNat(lab, { plain: true });
    await serveWeb(lab, nat.world.outside, WEB);
    const program = `
      const socket = require('node:dgram').createSocket('udp6');
      socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
      socket.bind(${ECHO}, '::', () => console.log('listening'));`;
    const server = lab.background(nat.world.outside, [process.execPath, '-e', program]);
    await waitFor('an echo server', () => server.stdout.includes('listening'));
  });

  it('are good on the uplink and inside, where the stacks leave them complete', async () => {
    // Without offloads on either side nobody but weft touches a checksum, and its captures need not complete any.
    const off = ['tx', 'off', 'tso', 'off', 'gso', 'off'];
    await lab.inside(nat.inside.base, ['ethtool', '-K', 'eth0', ...off]);
    await lab.inside(nat.world.outside, ['ethtool', '-K', 'pb', ...off]);
    const uplink = await uplinkName();
    const captures = [
      await WireCapture.start(lab, nat.world.router, uplink),
      await WireCapture.start(lab, nat.inside.base, 'eth0'),
    ];
    await talk();
    for (const wire of captures) await judge(await wire.finish(), false);
  });

  it('are good in the captures of weft, where the stacks leave them to others', async () => {
    const on = ['tx', 'on', 'tso', 'on', 'gso', 'on'];
    await lab.inside(nat.inside.base, ['ethtool', '-K', 'eth0', ...on]);
    await lab.inside(nat.world.outside, ['ethtool', '-K', 'pb', ...on]);
    const file = join(lab.directory, 'all.pcapng');
    await lab.daemon.call('POST', '/v1/captures', { name: 'all', all: true, file });
    await talk();
    await lab.daemon.call('POST', '/v1/captures/all/stop');
    await judge(file, true);
  });

  /** Some of everything that is translated: TCP, UDP, echoes, fragments of both, and errors of three kinds. */
  async function talk(): Promise<void> {
    const { inside, world } = nat;
    for (const family of ['v4', 'v6'] as const) {
      const address = world.far[family];
      await lab.inside(inside.base, curl(url(address, WEB, '300000'), '--output', '/dev/null'));
      for (const bytes of [1, 2, 7, 1200, 4321]) {
        const text = 'x'.repeat(bytes);
        assert.equal(await exchangeUdp(lab, inside.base, address, ECHO, text), text);
      }
      await lab.inside(inside.base, ['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-s', '1001', address]);
      await lab.inside(inside.base, ['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-s', '5001', address]);
      await assert.rejects(exchangeUdp(lab, inside.base, address, CLOSED, 'nobody there'), /ECONNREFUSED/);
      await lab.inside(inside.base, ['traceroute', '-n', '-q', '1', '-w', '1', '-m', '4', address]);
    }
  }

  /**
   * Every checksum in the file that can be verified is good, and there are enough of each kind to mean something. What a kernel
   * quotes in an ICMP error it may not have finished itself (`quotesUnfinished`; RFC 5508 REQ-3 leaves that checksum alone).
   */
  async function judge(file: string, quotesUnfinished: boolean): Promise<void> {
    const fields = CHECKED.flatMap((protocol) => ['-e', `${protocol}.checksum.status`]);
    fields.push('-e', 'tcp.checksum', '-e', 'tcp.checksum_calculated');
    const table = await must(['tshark', '-n', '-r', file, ...VALIDATED, '-T', 'fields', ...fields]);
    const good = CHECKED.map(() => 0);
    for (const [number, line] of table.trimEnd().split('\n').entries()) {
      const columns = line.split('\t');
      const isError = columns[ICMP] !== '' || columns[ICMPV6] !== '';
      for (const [i, protocol] of CHECKED.entries()) {
        // A quoted header is one more value in its column.
        const statuses = (columns[i] ?? '').split(',');
        const isQuoted = isError && (protocol === 'tcp' || protocol === 'udp');
        // All ones is zero in ones' complement, and what Linux writes for every protocol (skb_checksum_help); tshark minds.
        const isZero = protocol === 'tcp' && columns.slice(CHECKED.length).join(',') === '0xffff,0x0000';
        assert.ok(
          isZero || (isQuoted && quotesUnfinished) || !statuses.includes(BAD),
          `${protocol} checksum of frame ${number + 1} of ${file}: ${line}`,
        );
        if (statuses.includes(GOOD)) good[i]!++;
      }
    }
    assert.ok(Math.min(...good) >= 8, `good checksums of ${CHECKED.join(', ')}: ${good.join(', ')}`);
  }

  /** The interface that weft made in the router. */
  async function uplinkName(): Promise<string> {
    const links = await lab.links(nat.world.router);
    const [uplink] = links.filter(({ name }) => name !== 'rb');
    assert.ok(uplink !== undefined && links.length === 2, JSON.stringify(links));
    return uplink.name;
  }
});
