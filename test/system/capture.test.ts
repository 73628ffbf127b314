// `weft capture`: files that tshark and tcpdump read without a warning, with complete checksums, live and after a crash.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { WEFT } from '../support/system-daemon.js';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { type Background, run, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const CHECKSUMS = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);

describe('weft capture', function capture() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;
  let files = 0;

  before(async () => {
    pair = await createPair(lab);
    // Somebody takes the datagrams: an ICMP error would quote them as the kernel has them, with unfinished checksums.
    const sink = "require('node:dgram').createSocket('udp6').bind(9, () => console.log('bound'))";
    const listener = lab.background(pair.right.base, [process.execPath, '-e', sink]);
    await waitFor('the listener', () => listener.stdout.includes('bound'));
  });

  function newFile(): string {
    return join(lab.directory, `capture-${files++}`);
  }

  /** Starts `weft capture ... -w FILE` and waits until the file is there, that is, until frames are captured. */
  async function start(file: string, ...parameters: string[]): Promise<Background> {
    const command = [process.execPath, WEFT, '--socket', daemon.socket, 'capture', '-w', file, ...parameters];
    const capture = lab.background(null, command);
    await waitFor('the capture to begin', () => {
      assert.ok(capture.status === null, `weft capture ended: ${capture.stderr}`);
      return existsSync(file) && statSync(file).size > 0;
    });
    return capture;
  }

  async function tshark(file: string, ...parameters: string[]): Promise<string[]> {
    const outcome = await run(['tshark', '-n', '-r', file, ...CHECKSUMS, ...parameters]);
    const warnings = outcome.stderr
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('Running as user "root"'));
    assert.deepEqual([outcome.status, warnings], [0, []], `tshark reads ${file} without a warning`);
    return outcome.stdout.split('\n').filter((line) => line !== '');
  }

  async function tcpdump(file: string): Promise<string[]> {
    const outcome = await run(['tcpdump', '-n', '-vv', '-r', file]);
    const warnings = outcome.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('reading from file'));
    assert.deepEqual([outcome.status, warnings], [0, []], `tcpdump reads ${file} without a warning`);
    return outcome.stdout.split('\n').filter((line) => line !== '');
  }

  /** Real traffic with offloads: pings, UDP, and TCP in super-frames both ways. */
  async function traffic(): Promise<void> {
    const { left, right } = pair;
    await lab.inside(left.base, ['ip', 'neighbour', 'flush', 'all']);
    for (const address of [right.v4, right.v6]) assert.ok(await lab.pings(left.base, address));
    for (const address of [right.v4, right.v6]) {
      await (await startTransfer(lab, { from: left.base, to: right.base, address, bytes: 3e6 })).finish();
      const send = ['bash', '-c', `for n in 1 2 3; do echo datagram $n > /dev/udp/${address}/9; done`];
      await lab.inside(left.base, send);
    }
  }

  for (const format of ['pcapng', 'pcap'] as const) {
    it(`writes ${format} that tshark and tcpdump read without a warning, and every checksum in it is complete`, async () => {
      const file = newFile();
      const capture = await start(file, '--network', pair.network, '--format', format);
      await traffic();
      const outcome = await capture.stop('SIGINT');
      assert.equal(outcome.status, 0, `an interrupted capture is a good one: ${outcome.stderr}`);

      const protocols = (await tshark(file, '-T', 'fields', '-e', '_ws.col.Protocol')).join(' ');
      for (const wanted of ['ICMP', 'ICMPv6', 'TCP', 'UDP|DISCARD', 'ARP'])
        assert.match(protocols, new RegExp(`\\b(${wanted})\\b`));
      const bad = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'].map((name) => `${name}.checksum.status == "Bad"`).join(' || ');
      assert.deepEqual(await tshark(file, '-Y', bad), []);
      assert.deepEqual(
        (await tcpdump(file)).filter((line) => /incorrect|bad .*cksum/.test(line)),
        [],
      );
      assert.ok((await tshark(file, '-Y', 'tcp.len > 1460')).length > 0, 'super-frames are captured whole');
    });
  }

  it('names the interface of every endpoint and the direction of every frame in pcapng', async () => {
    const file = newFile();
    const capture = await start(file, '--network', pair.network);
    assert.ok(await lab.pings(pair.left.base, pair.right.v4));
    await capture.stop('SIGINT');
    const fields = [
      '-T',
      'fields',
      '-e',
      'frame.interface_name',
      '-e',
      'frame.packet_flags_direction',
      '-e',
      'icmp.type',
    ];
    const rows = new Set(await tshark(file, '-Y', 'icmp', ...fields));
    const numbers = [...rows].map((row) => row.split('\t'));
    for (const side of [pair.left, pair.right]) {
      assert.ok(
        numbers.some(([name]) => name?.includes(side.endpoint)),
        `${side.endpoint} is one of ${[...rows]}`,
      );
    }
    assert.ok(
      numbers.every(([, direction]) => direction !== ''),
      `every frame has a direction: ${[...rows]}`,
    );
  });

  it('captures one endpoint alone, and stops by itself after --count frames', async () => {
    const other = await createPair(lab, { network: {} });
    const file = newFile();
    const capture = await start(file, '--endpoint', pair.left.endpoint, '--count', '6');
    assert.ok(await lab.pings(other.left.base, other.right.v4));
    for (let round = 0; round < 3; round++) assert.ok(await lab.pings(pair.left.base, pair.right.v4));
    assert.equal((await capture.end()).status, 0);
    const rows = await tshark(file, '-T', 'fields', '-e', 'eth.addr');
    assert.equal(rows.length, 6);
    assert.ok(
      rows.every((row) => row.includes(pair.left.mac)),
      String(rows),
    );
  });

  it('stops by itself after --duration seconds, and cuts frames at --snaplen', async () => {
    const file = newFile();
    const startedAt = performance.now();
    const capture = await start(file, '--network', pair.network, '--duration', '2', '--snaplen', '60');
    await lab.inside(pair.left.base, ['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-s', '1000', pair.right.v4]);
    assert.equal((await capture.end()).status, 0);
    assert.ok(performance.now() - startedAt >= 2000);
    const rows = await tshark(file, '-Y', 'icmp', '-T', 'fields', '-e', 'frame.len', '-e', 'frame.cap_len');
    assert.ok(rows.length >= 4);
    assert.deepEqual([...new Set(rows)], ['1042\t60']);
  });

  it('writes to standard output for a pipe into tshark, live', async () => {
    const command = `exec '${process.execPath}' '${WEFT}' --socket '${daemon.socket}' capture --network '${pair.network}' -w - --count 4`;
    const pipe = lab.background(null, ['bash', '-c', `(${command}) | tshark -n -l -r -`]);
    const traffic = lab.background(pair.left.base, ['ping', '-n', '-q', '-i', '0.2', pair.right.v4]);
    const outcome = await pipe.end();
    await traffic.stop('SIGINT');
    assert.equal(outcome.stdout.trimEnd().split('\n').length, 4, outcome.stdout + outcome.stderr);
  });

  it('takes a filter, and says clearly what is wrong with a bad one', async () => {
    const file = newFile();
    const capture = await start(file, '--network', pair.network, 'icmp');
    await traffic();
    await capture.stop('SIGINT');
    const protocols = new Set(await tshark(file, '-T', 'fields', '-e', '_ws.col.Protocol'));
    assert.deepEqual([...protocols], ['ICMP']);
    const refused = await daemon.weft(['capture', '--network', pair.network, '-w', newFile(), 'nonsense', 'filter']);
    assert.ok(refused.status === 1 || refused.status === 2, String(refused.status));
    assert.match(refused.stderr, /^error: .*nonsense.*\n$/);
  });

  it('of a daemon that is killed leaves a file that can be read up to that moment', async () => {
    const file = newFile();
    const capture = await start(file, '--network', pair.network);
    assert.ok(await lab.pings(pair.left.base, pair.right.v4));
    const echoes = async () => (await run(['tshark', '-n', '-r', file, '-Y', 'icmp'])).stdout.split('\n').length - 1;
    const seen = await waitFor('the file to have the pings while it grows', async () => {
      const count = await echoes();
      return count >= 6 && count;
    });
    await daemon.kill();
    await daemon.start();
    await capture.stop('SIGINT');
    assert.ok((await echoes()) >= seen);
    assert.equal(readFileSync(file).readUInt32LE(0), 0x0a0d0d0a, 'a section header begins the file');
    assert.ok((await tcpdump(file)).length > 0);
  });

  it('says clearly that a network does not exist', async () => {
    const refused = await daemon.weft(['capture', '--network', lab.name('nowhere'), '-w', newFile()]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`^error: .*${lab.name('nowhere')}.*\\n$`));
  });
});
