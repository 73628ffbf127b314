/** What `weft doctor` learns by doing: it makes a namespace and TAPs in it, asks for each feature, and removes all. */
import { readFileSync, statSync } from 'node:fs';
import {
  errorName,
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TSO_ECN,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PACKET_VNET_HEADER,
  TAP_EXCLUSIVE,
  TAP_MULTI_QUEUE,
  TAP_VNET_HEADER,
} from '../../native/index.js';
import { NETNS_DIRECTORY, pathOf } from '../kernel/namespaces.js';
import { testOffloads } from '../overlay/offload-test.js';
import type { OffloadVerdict } from '../overlay/offload-verdict.js';
import { type Finding, fail, ok, warn } from './doctor-finding.js';
import { checkVxlanPort } from './doctor-overlay.js';
import { checkForwardPolicy, checkNftables } from './doctor-uplinks.js';

const TUN = '/dev/net/tun';

const OFFLOADS = [
  {
    check: 'offload-checksum',
    bits: OFFLOAD_CHECKSUM,
    cost: 'the kernel finishes each checksum, and there is no offload at all',
  },
  { check: 'offload-tso4', bits: OFFLOAD_TSO4, cost: 'TCP over IPv4 goes in frames of the MTU: several times slower' },
  { check: 'offload-tso6', bits: OFFLOAD_TSO6, cost: 'TCP over IPv6 goes in frames of the MTU: several times slower' },
  { check: 'offload-ecn', bits: OFFLOAD_TSO_ECN, cost: 'TCP connections with ECN go in frames of the MTU: slower' },
  { check: 'offload-uso', bits: OFFLOAD_USO4 | OFFLOAD_USO6, cost: 'large UDP senders (QUIC, WireGuard) are slower' },
];

const ALL_OFFLOADS = OFFLOADS.reduce((bits, offload) => bits | offload.bits, 0);

/** `isPrivileged`: without, only what can be seen is reported. */
export async function checkKernelFeatures(isPrivileged: boolean): Promise<Finding[]> {
  const findings = [checkTunDevice()];
  if (!isPrivileged) {
    const remedy = 'run `weft doctor` as root';
    return [...findings, warn('kernel-features', 'not checked: this needs root', 'unknown', remedy)];
  }
  const path = pathOf(`weft-doctor-${process.pid}`);
  const made = native.createNamespace(path);
  if (made < 0) {
    const remedy = `see to it that ${NETNS_DIRECTORY} is writable and mounting is allowed, or adopt compartments only`;
    return [
      ...findings,
      fail('namespaces', `cannot make ${path}: ${errorName(made)}`, 'weft cannot make compartments', remedy),
    ];
  }
  const namespaceFd = native.openNamespace(path);
  try {
    findings.push(checkPropagation());
    findings.push(...checkTap(namespaceFd), checkMultiQueue(namespaceFd), checkPacketSocket(namespaceFd));
    findings.push(await checkNftables(namespaceFd), ...(await checkHost()));
  } finally {
    native.closeFd(namespaceFd);
    native.removeNamespace(path);
  }
  findings.push(...(await checkTunnelOffloads()));
  return findings;
}

/** Not only whether they are there: whether what they make of frames is right. */
async function checkTunnelOffloads(): Promise<Finding[]> {
  const { joins, tunnelGso } = await testOffloads();
  const socketCost = 'overlay networks of underlay socket send datagrams one by one: several times slower';
  const tapCost = 'overlay networks of underlay tap are slower: super-frames are cut before they enter a tunnel';
  return [checkTunnelOffload('tunnel-socket', joins, socketCost), checkTunnelOffload('tunnel-tap', tunnelGso, tapCost)];
}

function checkTunnelOffload(check: string, { state, finding }: OffloadVerdict, cost: string): Finding {
  if (state === 'works') return ok(check, finding);
  const remedy = state === 'missing' ? 'use a newer kernel' : 'use another kernel; weft does without';
  return warn(check, finding, cost, remedy);
}

/** What there is already in the daemon's own namespace. */
async function checkHost(): Promise<Finding[]> {
  const fd = native.openNamespace('/proc/self/ns/net');
  try {
    return [await checkForwardPolicy(fd), await checkVxlanPort(fd)];
  } finally {
    native.closeFd(fd);
  }
}

function checkTunDevice(): Finding {
  const remedy = 'load it: `modprobe tun`; in a container: --device /dev/net/tun';
  const stats = statSync(TUN, { throwIfNoEntry: false });
  if (stats?.isCharacterDevice()) return ok('tun', `${TUN} is there`);
  return fail('tun', `${TUN} is missing`, 'weft cannot make interfaces', remedy);
}

/** Whether other programs' mount namespaces see weft's namespaces come and go. */
function checkPropagation(): Finding {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const fields = mounts.map((line) => line.split(' ')).find(([, , , , point]) => point === NETNS_DIRECTORY);
  if (fields?.some((field) => field.startsWith('shared:')))
    return ok('namespaces', 'can be made, and all programs see them');
  const cost = 'programs with mounts of their own (services with PrivateTmp=) do not see new compartments';
  return warn(
    'namespaces',
    `can be made, but ${NETNS_DIRECTORY} is not shared`,
    cost,
    `mount --make-shared ${NETNS_DIRECTORY}`,
  );
}

function checkTap(namespaceFd: number): Finding[] {
  const fd = native.openTap(namespaceFd, 'doctor0', TAP_VNET_HEADER | TAP_EXCLUSIVE);
  if (fd < 0) {
    const plain = native.openTap(namespaceFd, 'doctor0', TAP_EXCLUSIVE);
    if (plain < 0) {
      const remedy = 'see `dmesg`; in a container: --device /dev/net/tun --cap-add NET_ADMIN';
      return [fail('tap', `cannot make a TAP: ${errorName(plain)}`, 'weft cannot make interfaces', remedy)];
    }
    native.closeFd(plain);
    return [
      fail(
        'tap',
        `a TAP has no vnet header: ${errorName(fd)}`,
        'no offload: weft does not start',
        'use a newer kernel',
      ),
    ];
  }
  try {
    const granted = native.probeTapOffloads(fd, ALL_OFFLOADS);
    return [ok('tap', 'a TAP with vnet header can be made'), ...OFFLOADS.map((each) => checkOffload(each, granted))];
  } finally {
    native.closeFd(fd);
  }
}

function checkOffload(offload: { check: string; bits: number; cost: string }, granted: number): Finding {
  if (granted >= 0 && (granted & offload.bits) === offload.bits) return ok(offload.check, 'granted by the kernel');
  return warn(offload.check, 'not granted by the kernel', offload.cost, 'use a newer kernel');
}

function checkMultiQueue(namespaceFd: number): Finding {
  const fd = native.openTap(namespaceFd, 'doctor1', TAP_VNET_HEADER | TAP_MULTI_QUEUE | TAP_EXCLUSIVE);
  if (fd < 0) return warn('multi-queue', errorName(fd), 'one TAP cannot use several cores', 'use a newer kernel');
  native.closeFd(fd);
  return ok('multi-queue', 'available');
}

function checkPacketSocket(namespaceFd: number): Finding {
  const fd = native.openPacket(namespaceFd, 'lo', PACKET_VNET_HEADER);
  if (fd < 0) {
    const remedy = 'run as root or grant CAP_NET_RAW; the kernel needs CONFIG_PACKET';
    return warn('packet-socket', `AF_PACKET: ${errorName(fd)}`, 'no ports on existing interfaces', remedy);
  }
  const bytes = native.packetHeaderBytes(fd);
  native.closeFd(fd);
  return ok('packet-socket', `AF_PACKET with a vnet header of ${bytes} bytes`);
}
