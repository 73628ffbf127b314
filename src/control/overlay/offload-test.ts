/**
 * Whether the kernel does right what weft leaves to it: datagrams joined into one message (UDP_SEGMENT, UDP_GRO), and super-frames
 * inside of VXLAN that pass a TAP whole (Linux 6.17). There have been kernels that damaged either; a checksum that is wrong at the
 * other end shows as a connection that hangs. So both are tried in every shape before the first tunnel uses them, in a namespace of
 * its own (offload-rig.ts), and what fails is not used.
 */
import { errorName, OFFLOAD_TUNNEL_CSUM, OFFLOAD_TUNNEL_GSO, OFFLOAD_USO4 } from '../../native/index.js';
import { parsePrefix } from '../kernel/ip-prefix.js';
import { tryJoins } from './joined-test.js';
import { buildSuperFrame, type FrameShape, findDamage, isTunnelPacket, SEGMENTS } from './offload-frames.js';
import { OffloadRig, type RigTap } from './offload-rig.js';
import type { OffloadVerdict, OffloadVerdicts } from './offload-verdict.js';

/** Stations on the networks of the rig: where super-frames come from, and where they go, by TAP. */
const STATIONS = {
  4: { bits: 32, from: '198.51.100.9', out: '192.0.2.9', whole: '203.0.113.9' },
  6: { bits: 128, from: '2001:db8:1::9', out: '2001:db8:2::9', whole: '2001:db8:3::9' },
} as const;
const FAMILIES = [4, 6] as const;

/**
 * Never rejects: what cannot be tried is not used. Takes some 100 ms, most of which this thread does nothing else. What seems broken
 * is tried again: a lack of memory or time passes, a kernel that damages frames does so every time.
 */
export async function testOffloads(): Promise<OffloadVerdicts> {
  const first = await tryOnce();
  if (first.joins.state !== 'broken' && first.tunnelGso.state !== 'broken') return first;
  return tryOnce();
}

async function tryOnce(): Promise<OffloadVerdicts> {
  let rig: OffloadRig;
  try {
    rig = await OffloadRig.open();
  } catch (error) {
    return { joins: untried(error), tunnelGso: untried(error) };
  }
  try {
    return { joins: attempt(() => tryJoins(rig)), tunnelGso: attempt(() => tryTunnels(rig)) };
  } finally {
    await rig.close();
  }
}

function attempt(run: () => OffloadVerdict): OffloadVerdict {
  try {
    return run();
  } catch (error) {
    return untried(error);
  }
}

function untried(error: unknown): OffloadVerdict {
  return { state: 'broken', finding: `could not be tried: ${error instanceof Error ? error.message : String(error)}` };
}

function tryTunnels(rig: OffloadRig): OffloadVerdict {
  if ((rig.granted & OFFLOAD_TUNNEL_GSO) === 0) {
    return { state: 'missing', finding: 'a TAP takes no super-frames inside of tunnels (Linux 6.17 does)' };
  }
  if (!rig.forwards) return untried('forwarding cannot be switched on in a namespace; is /proc/sys writable?');
  for (const outer of FAMILIES.filter((family) => family === 4 || rig.hasIpv6)) {
    for (const inner of FAMILIES) {
      for (const protocol of ['tcp', 'udp'] as const) {
        if (protocol === 'udp' && (rig.granted & OFFLOAD_USO4) === 0) continue;
        for (const hasChecksum of [false, true]) {
          if (hasChecksum && (rig.granted & OFFLOAD_TUNNEL_CSUM) === 0) continue;
          for (const tap of ['out', 'whole'] as const) {
            const damage = tryShape(rig, { outer, inner, protocol, hasChecksum }, tap);
            if (damage === null) continue;
            const name = `${protocol.toUpperCase()} over IPv${inner} over IPv${outer}${hasChecksum ? ' with checksums' : ''}`;
            const way = tap === 'out' ? 'cut into segments' : 'passed on whole';
            return { state: 'broken', finding: `${name}, ${way}: ${damage}` };
          }
        }
      }
    }
  }
  return { state: 'works', finding: 'super-frames inside of VXLAN arrive as they were sent' };
}

/** Has the kernel forward one super-frame to a TAP. null when what comes out is right. */
function tryShape(
  rig: OffloadRig,
  kind: Pick<FrameShape, 'outer' | 'inner' | 'protocol' | 'hasChecksum'>,
  tap: Exclude<RigTap, 'in'>,
): string | null {
  const stations = STATIONS[kind.outer];
  const bytesOf = (text: string): Uint8Array => parsePrefix(`${text}/${stations.bits}`).bytes;
  const shape: FrameShape = { ...kind, source: bytesOf(stations.from), destination: bytesOf(stations[tap]) };
  const sent = [{ port: rig.portOf('in'), bytes: buildSuperFrame(shape) }];
  const { results, received } = rig.exchange(sent, rig.portOf(tap), tap === 'out' ? SEGMENTS : 1, isTunnelPacket);
  const [error = 0] = results;
  return error < 0 ? `refused (${errorName(error)})` : findDamage(shape, received);
}
