// `weft replay`: what a capture has comes out of the network at the other end, byte for byte, and every frame is accounted for.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SchemaTypes } from '../../src/api/schema/catalogue.js';
import { type FilePacket, pcapFile } from '../support/capture-files.js';
import { ether, ipv4, ipv6, partial, pattern, raw, tcp, udp } from '../support/frame-builders.js';
import { WEFT } from '../support/system-daemon.js';
import { frame as marker, sniff } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import { createPair, createSide, type Pair, type Side } from '../support/system-pair.js';
import { run, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

/** A station that is in captures only. */
const GHOST = '02:00:5e:00:00:99';
const MANY_FRAMES = 100_000;

describe('weft replay', function replay() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;
  /** Takes no super-frames and no unfinished checksums. */
  let plain: Side;
  let files = 0;

  before(async () => {
    pair = await createPair(lab);
    const { network, subnet } = pair;
    plain = await createSide(lab, { network, subnet, base: 'plain', host: 30, endpoint: { offload: false } });
  });

  function save(packets: readonly FilePacket[]): string {
    const file = join(lab.directory, `replay-${files++}.pcap`);
    writeFileSync(file, pcapFile(packets));
    return file;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the answer is asserted on field by field
  async function weftReplay(file: string, ...parameters: string[]): Promise<any> {
    return JSON.parse(await daemon.ok('--json', 'replay', file, '--endpoint', pair.left.endpoint, ...parameters));
  }

  function endOf(to: string): Buffer {
    return marker({ to, from: GHOST, payload: `end ${files}` });
  }

  function stats(): Promise<Stats> {
    return daemon.call('GET', '/v1/stats');
  }

  it('brings pings, datagrams, ARP and tagged frames to the other side as they are', async () => {
    const { right } = pair;
    const addresses = { from: GHOST, to: right.mac };
    const v4 = { from: `${pair.subnet.v4}.99`, to: right.v4 };
    const v6 = { from: `${pair.subnet.v6}::99`, to: right.v6 };
    const frames = [
      ether(addresses, ipv4(v4, raw(1, Uint8Array.of(8, 0, 0xf7, 0xfd, 0, 1, 0, 1)))).bytes,
      ether(addresses, ipv4(v4, udp(4000, 9, pattern(1472)))).bytes,
      ether(addresses, ipv6(v6, udp(4000, 9, 'datagram'))).bytes,
      ether(addresses, ipv4(v4, tcp({ from: 1, to: 9 }, 'a segment that belongs to no connection'))).bytes,
      ether({ ...addresses, tags: [100] }, 'tagged').bytes,
      ether({ from: GHOST, to: 'ff:ff:ff:ff:ff:ff' }, 'to all').bytes,
      endOf(right.mac),
    ];
    const sniffer = await sniff(lab, right.base, 'eth0', `ether src ${GHOST}`);
    const done = await weftReplay(save(frames.map((bytes, n) => ({ bytes, atMs: 1.7e12 + 20 * n }))));
    assert.deepEqual([done.injected, done.superFrames, done.dropped], [7, 0, 0]);
    assert.ok(done.seconds >= 0.12, 'at the pace of the capture');
    const seen = await sniffer.until(frames.at(-1)!);
    await sniffer.stop();
    assert.deepEqual(
      seen,
      frames.slice(0, -1).map((bytes) => Buffer.from(bytes).toString('hex')),
    );
    const fdb = await daemon.call('GET', `/v1/fdb?network=${pair.network}`);
    const known = fdb.find(({ mac }: { mac: string }) => mac === GHOST);
    assert.equal(known?.endpoint, pair.left.endpoint, 'the switch has learned the sender');
  });

  it('is answered: a replayed ping reaches the kernel of the other side like any other', async () => {
    const { left, right } = pair;
    const echo = Uint8Array.of(8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1);
    const bytes = ether({ from: left.mac, to: right.mac }, ipv4({ from: left.v4, to: right.v4 }, raw(1, echo))).bytes;
    const sniffer = await sniff(lab, left.base, 'eth0', 'icmp[icmptype] == icmp-echoreply and icmp[4:2] == 0x1234');
    await weftReplay(save([{ bytes }]));
    const [reply] = await waitFor('the reply', () => sniffer.frames().length > 0 && sniffer.frames());
    await sniffer.stop();
    assert.equal(reply?.slice(0, 24), (left.mac + right.mac).replaceAll(':', ''));
  });

  for (const family of [4, 6] as const) {
    it(`brings TCP super-frames over IPv${family} whole to who takes them, and as sound segments to who does not`, async () => {
      const payload = pattern(40_000, family);
      const { v4, v6 } = pair.subnet;
      const build = (side: Side) => {
        const stream = tcp({ from: 1, to: 9, sequence: 1000 }, payload);
        const packet =
          family === 4
            ? ipv4({ from: `${v4}.99`, to: side.v4 }, stream)
            : ipv6({ from: `${v6}::99`, to: side.v6 }, stream);
        return ether({ from: GHOST, to: side.mac }, packet);
      };
      for (const side of [pair.right, plain]) {
        const whole = build(side);
        const end = endOf(side.mac);
        const sniffer = await sniff(lab, side.base, 'eth0', `ether src ${GHOST}`);
        const done = await weftReplay(save([{ bytes: whole.bytes }, { bytes: end }]), '--top-speed');
        assert.deepEqual([done.injected, done.superFrames, done.dropped], [2, 1, 0]);
        const seen = (await sniffer.until(end)).map((hex) => Buffer.from(hex, 'hex'));
        await sniffer.stop();
        if (side === pair.right) {
          assert.deepEqual(
            seen,
            [Buffer.from(partial(whole).bytes)],
            `one frame; its checksum is the receiver's to finish`,
          );
          continue;
        }
        const headerBytes = whole.bytes.length - payload.length;
        assert.equal(seen.length, Math.ceil(payload.length / (1500 - (headerBytes - 14))));
        const joined = Buffer.concat(seen.map((bytes) => bytes.subarray(headerBytes)));
        assert.ok(joined.equals(payload), 'the payload is all there, in order');
        assert.deepEqual(await badChecksums(save(seen.map((bytes) => ({ bytes })))), []);
      }
    });
  }

  async function badChecksums(file: string): Promise<string[]> {
    const checks = ['ip', 'tcp'].flatMap((name) => ['-o', `${name}.check_checksum:TRUE`]);
    const bad = 'ip.checksum.status == "Bad" || tcp.checksum.status == "Bad"';
    const outcome = await run(['tshark', '-n', '-r', file, ...checks, '-Y', bad]);
    assert.equal(outcome.status, 0, outcome.stderr);
    return outcome.stdout.split('\n').filter((line) => line !== '');
  }

  it('replays a capture of weft of a real transfer', async () => {
    const { left, right } = pair;
    const file = join(lab.directory, 'transfer.pcapng');
    const command = [process.execPath, WEFT, '--socket', daemon.socket, 'capture', '-w', file];
    const capture = lab.background(null, [...command, '--endpoint', left.endpoint]);
    await waitFor('the capture to begin', () => existsSync(file) && statSync(file).size > 0);
    const transfer = { from: left.base, to: right.base, address: right.v4, bytes: 3e6 };
    await (await startTransfer(lab, transfer)).finish();
    await capture.stop('SIGINT');

    const before = await stats();
    const done = await weftReplay(file, '--top-speed');
    const after = await stats();
    const { notSelected, ...other } = done.skipped;
    assert.ok(notSelected > 0, 'what the endpoint had received is not sent again');
    assert.deepEqual([other, done.dropped], [{ notEthernet: 0, cut: 0, tooShort: 0, tooLong: 0 }, 0]);
    assert.ok(done.superFrames > 0, 'a transfer is made of super-frames');
    assert.ok(done.bytes > 3e6);
    const departed = growth(before, after, right.endpoint);
    assert.equal(departed.txDropped, 0);
    assert.ok(departed.txFrames >= done.injected && departed.txBytes >= done.bytes, JSON.stringify(departed));
  });

  it(`accounts for every one of ${MANY_FRAMES} frames at top speed`, async () => {
    const { left, right } = pair;
    const bytes = ether({ from: GHOST, to: right.mac }, 'one of many').bytes;
    const file = save(new Array<FilePacket>(MANY_FRAMES).fill({ bytes }));
    const before = await stats();
    const done = await weftReplay(file, '--top-speed');
    const after = await stats();
    assert.deepEqual([done.injected, done.bytes, done.dropped], [MANY_FRAMES, MANY_FRAMES * bytes.length, 0]);
    const arrived = growth(before, after, left.endpoint).rxFrames;
    assert.ok(arrived >= MANY_FRAMES && arrived < MANY_FRAMES + 100, `${arrived}, with what the kernel says by itself`);
    const { txFrames, txDropped } = growth(before, after, right.endpoint);
    const departed = txFrames + txDropped;
    assert.ok(departed >= MANY_FRAMES && departed < MANY_FRAMES + 100, `${txFrames} + ${txDropped}`);
    const { datapath } = after;
    assert.equal(datapath.arrivals + datapath.originated, datapath.forwarded + datapath.consumed + datapath.dropped);
    assert.equal(datapath.departures, datapath.sent + datapath.transmitDropped);
    assert.ok(await lab.pings(left.base, right.v4), 'the network is as well as before');
  });

  it('ends with the interrupt of its user, in the middle of an hour of silence', async () => {
    const bytes = endOf(pair.right.mac);
    const file = save([{ bytes }, { bytes, atMs: Date.UTC(2024, 0, 1) + 3_600_000 }]);
    const sniffer = await sniff(lab, pair.right.base, 'eth0', `ether src ${GHOST}`);
    const command = [process.execPath, WEFT, '--socket', daemon.socket, 'replay', file];
    const running = lab.background(null, [...command, '--endpoint', pair.left.endpoint]);
    await sniffer.until(bytes);
    const outcome = await running.stop('SIGINT');
    assert.deepEqual([outcome.status, outcome.stderr], [0, '']);
    assert.match(outcome.stdout, /^1 frame injected into .*, ended before the file did\n$/);
    assert.equal((await sniffer.stop()).length, 1);
  });
});

type Stats = SchemaTypes['Stats'];
type EndpointCounters = Omit<Stats['endpoints'][number], 'endpoint' | 'network' | 'compartment' | 'state'>;

/** What an endpoint has counted between two answers of /v1/stats. */
function growth(before: Stats, after: Stats, endpoint: string): EndpointCounters {
  const [then, now] = [before, after].map(({ endpoints }) => endpoints.find((entry) => entry.endpoint === endpoint));
  assert.ok(then !== undefined && now !== undefined, `${endpoint} is in the statistics`);
  return {
    rxFrames: now.rxFrames - then.rxFrames,
    rxBytes: now.rxBytes - then.rxBytes,
    txFrames: now.txFrames - then.txFrames,
    txBytes: now.txBytes - then.txBytes,
    rxDropped: now.rxDropped - then.rxDropped,
    txDropped: now.txDropped - then.txDropped,
  };
}
