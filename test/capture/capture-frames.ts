// Frames for the tests of captures: a varied, seeded corpus, captured frames as the ring shows them, and capture files.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CapturedFrame } from '../../src/capture/capture-ring-reader.js';
import { ARRIVAL, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import type { Prng } from '../../src/lib/prng.js';
import {
  BROADCAST,
  ether,
  ipv4,
  ipv6,
  numberedMac,
  type Packet,
  pattern,
  raw,
  type Tag,
  TCP_ACK,
  TCP_FIN,
  TCP_PUSH,
  TCP_SYN,
  TPID_SERVICE,
  type Transport,
  tcp,
  udp,
} from '../support/frame-builders.js';

/** What the ring shows of a frame, `captured` bytes of it. */
export function capturedFrame(bytes: Uint8Array, fields: Partial<CapturedFrame> = {}): CapturedFrame {
  return {
    bytes,
    at: 0,
    captured: bytes.length,
    length: bytes.length,
    port: 0,
    direction: ARRIVAL,
    reason: NOT_DROPPED,
    seconds: 1_700_000_000,
    nanoseconds: 0,
    isChecksumComplete: true,
    ...fields,
  };
}

/** Well-formed frames of many protocols, and some with bytes changed or cut off. */
export function corpus(prng: Prng, count: number): Uint8Array[] {
  return Array.from({ length: count }, () => {
    const bytes = randomFrame(prng);
    switch (prng.below(6)) {
      case 0:
        return bytes.subarray(0, prng.below(bytes.length + 1));
      case 1:
        for (let n = 1 + prng.below(4); n > 0; n--) bytes[prng.below(Math.min(80, bytes.length))] = prng.next();
        return bytes;
      default:
        return bytes;
    }
  });
}

function pick<T>(prng: Prng, values: readonly T[]): T {
  return values[prng.below(values.length)]!;
}

function randomFrame(prng: Prng): Uint8Array {
  const tagSets: Tag[][] = [[], [], [], [5], [{ vlan: 100, priority: 6 }], [{ vlan: 7, type: TPID_SERVICE }, 5]];
  const from = numberedMac(1 + prng.below(4));
  const to = prng.below(4) === 0 ? BROADCAST : numberedMac(1 + prng.below(4));
  const tags = pick(prng, tagSets);
  switch (prng.below(8)) {
    case 0:
      return ether({ from, to, tags, type: 0x0806 }, arp(prng)).bytes;
    case 1:
      return ether({ from, to, tags, type: pick(prng, [0x88cc, 0x8809, 0x8863, 0x9000, 38]) }, pattern(40)).bytes;
    default:
      return ether({ from, to, tags }, randomPacket(prng)).bytes;
  }
}

function arp(prng: Prng): Uint8Array {
  const head = [0, 1, 8, 0, 6, 4, 0, 1 + prng.below(2)];
  return Uint8Array.from([...head, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1 + prng.below(4)]);
}

function randomPacket(prng: Prng): Packet {
  const transport = randomTransport(prng);
  if (prng.below(3) === 0) {
    const extensions = prng.below(3) === 0 ? [{ type: pick(prng, [0, 43, 60]), options: pattern(prng.below(20)) }] : [];
    const addresses = { from: `2001:db8::${1 + prng.below(3)}`, to: `2001:db8::${1 + prng.below(3)}` };
    return ipv6({ ...addresses, extensions }, transport);
  }
  const addresses = { from: `192.0.2.${1 + prng.below(4)}`, to: `198.51.100.${1 + prng.below(4)}` };
  const options = prng.below(4) === 0 ? pattern(4 * prng.below(6)) : new Uint8Array(0);
  const flags = pick(prng, [0x4000, 0x4000, 0, 0x2000, 0x0010, 0x2064]);
  return ipv4({ ...addresses, options, flags, ttl: 1 + prng.below(255), tos: prng.below(256) }, transport);
}

function randomTransport(prng: Prng): Transport {
  const payload = pattern(prng.below(5) === 0 ? prng.below(1400) : prng.below(60), prng.below(256));
  const ports = { from: pick(prng, [22, 80, 443, 40000]), to: pick(prng, [22, 53, 80, 443, 8080]) };
  switch (prng.below(5)) {
    case 0:
      return udp(ports.from, ports.to, payload);
    case 1:
      return raw(1, Uint8Array.from([pick(prng, [0, 3, 8, 11]), prng.below(5), ...payload, 0, 0, 0, 0]));
    case 2:
      return raw(58, Uint8Array.from([pick(prng, [1, 2, 128, 129, 133, 135, 136]), 0, ...payload, 0, 0, 0, 0]));
    case 3:
      return raw(pick(prng, [2, 47, 50, 89, 132]), payload);
    default: {
      const flags = pick(prng, [TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK | TCP_PUSH, TCP_ACK | TCP_FIN]);
      return tcp({ ...ports, flags, sequence: prng.next(), acknowledgement: prng.next() }, payload);
    }
  }
}

/** A directory of its own for a suite, removed at its end. */
export function useDirectory(): { path(name: string): string } {
  let directory = '';
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `weft-capture-${process.pid}-`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));
  return { path: (name) => join(directory, name) };
}

/** Lines of a reading program; fails when it exits badly or warns (that it reads a file, as root, is no warning). */
export function linesOf(program: 'tshark' | 'tcpdump' | 'capinfos', parameters: string[]): string[] {
  const { status, stdout, stderr } = spawnSync(program, parameters, { encoding: 'utf8', maxBuffer: 64 << 20 });
  const warnings = stderr
    .split('\n')
    .filter((line) => line !== '' && !/^(reading from file|Running as user)/.test(line));
  assert.deepEqual([status, warnings], [0, []], `${program} ${parameters.join(' ')}`);
  return stdout.split('\n').filter((line) => line !== '');
}
