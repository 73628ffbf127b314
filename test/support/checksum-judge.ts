/**
 * Checksums in a capture file, judged by a parser that knows nothing of weft: tshark with validation switched on, which also looks
 * into VXLAN.
 */
import assert from 'node:assert/strict';
import { must } from './system-process.js';

const CHECKED = ['ip', 'tcp', 'udp', 'icmp', 'icmpv6'] as const;
const VALIDATED = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
/** Values of tshark's `*.checksum.status`. */
const BAD = '0';
const GOOD = '1';

export interface Judgement {
  packets: number;
  /** Those that have a VXLAN header. */
  vxlan: number;
  /** Packets with at least one good checksum of the protocol. */
  good: Record<(typeof CHECKED)[number], number>;
}

/** All ones is zero in ones' complement, and what Linux writes (skb_checksum_help in net/core/dev.c, for every protocol); tshark minds. */
const NEGATIVE_ZERO = '0xffff,0x0000';

/** Fails when a checksum in the file, inner or outer, is wrong. A UDP checksum that is left out (zero) is neither good nor bad. */
export async function judgeChecksums(file: string): Promise<Judgement> {
  const fields = CHECKED.flatMap((protocol) => ['-e', `${protocol}.checksum.status`]);
  const rest = ['-e', 'vxlan.vni', '-e', 'tcp.checksum', '-e', 'tcp.checksum_calculated'];
  const command = ['tshark', '-n', '-r', file, ...VALIDATED, '-T', 'fields', ...fields, ...rest];
  const table = await must(command, { timeoutMs: 120_000 });
  const good = { ip: 0, tcp: 0, udp: 0, icmp: 0, icmpv6: 0 };
  let vxlan = 0;
  const lines = table === '' ? [] : table.replace(/\n$/, '').split('\n');
  for (const [number, line] of lines.entries()) {
    const columns = line.split('\t');
    for (const [i, protocol] of CHECKED.entries()) {
      const statuses = (columns[i] ?? '').split(',');
      const isZero = protocol === 'tcp' && columns.slice(CHECKED.length + 1).join(',') === NEGATIVE_ZERO;
      assert.ok(isZero || !statuses.includes(BAD), `${protocol} checksum of packet ${number + 1} of ${file}: ${line}`);
      if (statuses.includes(GOOD)) good[protocol]++;
    }
    if ((columns[CHECKED.length] ?? '') !== '') vxlan++;
  }
  return { packets: lines.length, vxlan, good };
}
