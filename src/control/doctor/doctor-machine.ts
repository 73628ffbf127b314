/** What `weft doctor` sees without touching anything: versions, rights, limits, memory, programs. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { type Finding, fail, ok, warn } from './doctor-finding.js';

/** Bits of CapEff in /proc/self/status (linux/capability.h). */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_SYS_ADMIN: 21 };
/** Of weft itself: descriptors for logs, state, sockets, clients. */
const OWN_DESCRIPTORS = 256;
/** A TAP, and the namespace that it is in. */
const DESCRIPTORS_PER_ENDPOINT = 2;
const ENOUGH_MEMORY_BYTES = 256 * 1024 * 1024;

/** Programs that weft starts on request or that its users want beside it. */
const PROGRAMS = [
  { name: 'tcpdump', use: 'captures cannot have filter expressions', install: 'apt-get install tcpdump' },
  { name: 'tshark', use: 'captures cannot be summarised by protocol', install: 'apt-get install tshark' },
];

export function checkMachine(options: { searchPath: string; endpoints: number }): Finding[] {
  return [
    checkKernelVersion(release()),
    ...checkWsl(release()),
    checkNode(process.versions.node),
    checkRights(),
    checkDescriptors(text('/proc/self/limits'), options.endpoints),
    checkMemory(text('/proc/meminfo')),
    checkIpv6(),
    checkIoUring(),
    ...PROGRAMS.map(({ name, use, install }) =>
      isInstalled(name, options.searchPath) ? ok(name, 'installed') : warn(name, 'not installed', use, install),
    ),
  ];
}

/** Whether this process may make namespaces and interfaces. */
export function hasNetworkRights(): boolean {
  return missingRights().every((name) => name === 'CAP_NET_RAW');
}

/** `release`: as uname -r, e.g. `6.1.0-25-amd64`. */
export function checkKernelVersion(release: string): Finding {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  const isBefore = (wantedMajor: number, wantedMinor: number): boolean =>
    major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
  const remedy = 'use a newer kernel, e.g. 6.1 of Debian 12, or 6.6 and later';
  if (isBefore(4, 18)) return fail('kernel', `Linux ${release}`, 'Node.js 20 does not support it', remedy);
  const costs: string[] = [];
  if (isBefore(5, 11)) costs.push('no epoll_pwait2: waits end on whole milliseconds, so first frames come later');
  if (isBefore(5, 18)) costs.push('addresses carry no mark: an address dropped while weft is down is not cleaned up');
  if (isBefore(6, 2)) costs.push('no UDP segmentation offload: large UDP senders (QUIC, WireGuard) are slower');
  return costs.length === 0
    ? ok('kernel', `Linux ${release}`)
    : warn('kernel', `Linux ${release}`, costs.join('; '), remedy);
}

/** Nothing on a machine that is not WSL. */
export function checkWsl(release: string): Finding[] {
  if (!/microsoft/i.test(release)) return [];
  if (!/WSL2/i.test(release)) {
    return [
      fail('wsl', 'this is WSL 1', 'it has no network namespaces', 'convert it: wsl --set-version DISTRIBUTION 2'),
    ];
  }
  const cost = 'namespaces and interfaces end with the virtual machine, which Windows stops when it is idle';
  return [warn('wsl', 'this is WSL 2', cost, 'enable systemd in /etc/wsl.conf, so that weftd starts with it')];
}

function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isEnough = major > 20 || (major === 20 && minor >= 19);
  if (isEnough) return ok('node', `Node.js ${version}`);
  return fail('node', `Node.js ${version}`, 'weft is not tested with it', 'install Node.js 20.19 or later');
}

function checkRights(): Finding {
  const missing = missingRights();
  if (missing.length === 0) return ok('rights', 'this user may make namespaces and interfaces');
  const finding = `${missing.join(', ')} missing`;
  if (hasNetworkRights()) {
    return warn(
      'rights',
      finding,
      'no ports on existing interfaces (AF_PACKET)',
      'run weftd as root, or grant it CAP_NET_RAW',
    );
  }
  return fail('rights', finding, 'this user cannot run weftd', 'run weftd as root; `weft` needs the group weft only');
}

function missingRights(): string[] {
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(text('/proc/self/status'))?.[1] ?? '0';
  const bits = BigInt(`0x${mask}`);
  return Object.entries(CAPABILITIES).flatMap(([name, bit]) => (((bits >> BigInt(bit)) & 1n) === 1n ? [] : [name]));
}

/** `limits`: text of /proc/self/limits. Node.js raises the soft limit to the hard one, so the hard one counts. */
export function checkDescriptors(limits: string, endpoints: number): Finding {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1] ?? 'unlimited';
  const most = hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
  const room = Math.max(0, Math.floor((most - OWN_DESCRIPTORS) / DESCRIPTORS_PER_ENDPOINT));
  if (room >= endpoints) return ok('descriptors', `${hard} open files allowed`);
  const remedy = 'raise it: `ulimit -Hn 65536` before weftd, or LimitNOFILE=65536 in its systemd unit';
  return warn('descriptors', `${hard} open files allowed`, `room for about ${room} endpoints`, remedy);
}

/** `meminfo`: text of /proc/meminfo. */
export function checkMemory(meminfo: string): Finding {
  const available = Number(/^MemAvailable:\s*(\d+) kB/m.exec(meminfo)?.[1] ?? Number.NaN) * 1024;
  if (Number.isNaN(available)) return warn('memory', 'unknown', 'unknown', 'see to it that 256 MiB are free');
  const finding = `${Math.round(available / 1024 / 1024)} MiB available`;
  if (available >= ENOUGH_MEMORY_BYTES) return ok('memory', finding);
  return warn('memory', finding, 'weftd may be killed when memory runs out', 'free at least 256 MiB');
}

function checkIpv6(): Finding {
  if (!existsSync('/proc/sys/net/ipv6')) {
    const cost = 'networks with IPv6 subnets cannot be attached';
    return warn('ipv6', 'the kernel runs without IPv6', cost, 'boot without ipv6.disable=1, and load the module ipv6');
  }
  const isOff = text('/proc/sys/net/ipv6/conf/all/disable_ipv6').trim() === '1';
  return ok('ipv6', isOff ? 'switched off on this host; weft switches it on for its own interfaces' : 'available');
}

/** weft waits with epoll; this is for those who wonder. */
function checkIoUring(): Finding {
  const setting = text('/proc/sys/kernel/io_uring_disabled').trim();
  return ok('io-uring', `${setting === '0' ? 'available' : 'not available'}; weft does not need it`);
}

function isInstalled(program: string, searchPath: string): boolean {
  return searchPath.split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return directory !== '';
    } catch {
      return false;
    }
  });
}

/** Empty when the file cannot be read. */
function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
