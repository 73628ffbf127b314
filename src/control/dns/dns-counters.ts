/** What the DNS servers of all networks have done with questions since the daemon started (DnsStats says what each means). */
import type { DnsStats } from '../controller.js';

export type DnsCounters = Omit<DnsStats, 'asked' | 'cached'>;

export function newDnsCounters(): DnsCounters {
  return { queries: 0, local: 0, forwarded: 0, failed: 0, refused: 0, ignored: 0 };
}
