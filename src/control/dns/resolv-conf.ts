/**
 * The resolvers of the host: the `nameserver` lines of its resolv.conf, read anew when the file changes. Read first:
 * resolv.conf(5).
 */
import { readFileSync, statSync } from 'node:fs';
import { parseIp } from '../../model/ip.js';

/** A server that questions can be passed on to. */
export interface UpstreamServer {
  /** Bare address, for link-local ones with `%ZONE`. */
  address: string;
  port: number;
}

const DNS_PORT = 53;
/** MAXNS of the C library is 3; more only cost time when the first ones are dead. */
const MOST_SERVERS = 3;
/** A look at the file costs microseconds, but not for each question of a flood. */
const LOOK_MS = 1000;

export class HostResolvers {
  private readonly path: string;
  private readonly nowMs: () => number;
  private lookedAtMs = Number.NEGATIVE_INFINITY;
  private stamp = '';
  private servers: readonly UpstreamServer[] = [];

  constructor(path: string, nowMs: () => number) {
    this.path = path;
    this.nowMs = nowMs;
  }

  /** The same array as long as the file says the same. Empty when there is no file, or no server in it. */
  list(): readonly UpstreamServer[] {
    if (this.nowMs() - this.lookedAtMs < LOOK_MS) return this.servers;
    this.lookedAtMs = this.nowMs();
    try {
      // The file is replaced by a rename, or is a link to one that is.
      const { ino, mtimeMs, size } = statSync(this.path);
      const stamp = `${ino} ${mtimeMs} ${size}`;
      if (stamp === this.stamp) return this.servers;
      this.servers = parseResolvConf(readFileSync(this.path, 'utf8'));
      this.stamp = stamp;
    } catch {
      this.servers = [];
      this.stamp = '';
    }
    return this.servers;
  }
}

export function parseResolvConf(text: string): UpstreamServer[] {
  const servers: UpstreamServer[] = [];
  for (const line of text.split('\n')) {
    const [keyword, address = ''] = line.trim().split(/\s+/);
    if (keyword !== 'nameserver' || !isAddress(address)) continue;
    if (servers.some((server) => server.address === address)) continue;
    servers.push({ address, port: DNS_PORT });
  }
  return servers.slice(0, MOST_SERVERS);
}

function isAddress(text: string): boolean {
  const [address = '', zone] = text.split('%');
  return parseIp(address) !== null && (zone === undefined || /^[\w.-]{1,15}$/.test(zone));
}
