/**
 * Floods against the NAT, from a compartment and from outside, while a transfer of another compartment goes on: it loses nothing,
 * new connections of others still open, the flow table keeps its bounds, and what is refused has a name.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ether, ipv4, raw, TCP_SYN, tcp, udp, word } from '../support/frame-builders.js';
import { sendFrames } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import { addressesReady, ask, createNat, type Nat, serveWeb } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';
import { startTransfer } from '../support/system-transfer.js';

const MEGABYTE = 1e6;
const FRAMES = 8_000;
const FLOW_LIMIT = 200;
const WEB = 80;
const MORE_FRAGMENTS = 0x2000;

describe('a flood through the NAT', function floods() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;
  let flooder: Side;
  let gatewayMac: string;
  let routerMac: string;

  before(async () => {
    nat = await createNat(lab, { plain: true, network: { nat: { flowLimit: FLOW_LIMIT } } });
    flooder = await createSide(lab, { network: nat.network, subnet: nat.subnet, base: 'flooder', host: 66 });
    await addressesReady(lab, flooder.base);
    await serveWeb(lab, nat.world.outside, WEB);
    assert.ok(await lab.pings(flooder.base, nat.gateway.v4));
    const neighbours = JSON.parse(await lab.inside(flooder.base, ['ip', '-j', 'neigh', 'show', nat.gateway.v4]));
    gatewayMac = neighbours[0].lladdr;
    const links = JSON.parse(await lab.inside(nat.world.router, ['ip', '-j', 'link', 'show', 'dev', 'rb']));
    routerMac = links[0].address;
  });

  /** Frame `n` of a flood: from the compartment to somewhere outside, or from outside to weft's external address. */
  type Make = (n: number, from: string, to: string) => ReturnType<typeof ipv4>;
  const kinds: Record<string, { make: Make; reasons: { inside: string[]; outside: string[] } }> = {
    'TCP SYNs': {
      make: (n, from, to) =>
        ipv4({ from, to }, tcp({ from: port(n), to: port(n * 7), flags: TCP_SYN, acknowledgement: 0 })),
      reasons: { inside: ['nat-flow-limit'], outside: ['nat-syn-held', 'nat-no-mapping'] },
    },
    'UDP to random ports': {
      make: (n, from, to) => ipv4({ from, to }, udp(port(n), port(n * 7), 'flood')),
      reasons: { inside: ['nat-flow-limit'], outside: ['nat-no-mapping', 'nat-filtered'] },
    },
    'echo requests': {
      make: (n, from, to) => ipv4({ from, to }, raw(1, echo(n))),
      reasons: { inside: ['nat-flow-limit'], outside: [] },
    },
    'fragments without a first one': {
      make: (n, from, to) => ipv4({ from, to, id: n, flags: MORE_FRAGMENTS | 185 }, raw(17, 'x'.repeat(64))),
      reasons: { inside: ['fragments-full', 'bad-fragment'], outside: ['fragments-full', 'bad-fragment'] },
    },
  };

  for (const [kind, { make, reasons }] of Object.entries(kinds)) {
    for (const side of ['inside', 'outside'] as const) {
      it(`of ${kind} from ${side} disturbs nobody else`, async () => {
        const { inside, world } = nat;
        const bytes = 40 * MEGABYTE;
        const request = { from: inside.base, to: world.outside, address: world.far.v4, bytes };
        const transfer = await startTransfer(lab, { ...request, bytesPerSecond: 20 * MEGABYTE });
        const before = await drops();
        const { base, frames } = await flood(side, make);
        await sendFrames(lab, base, side === 'inside' ? 'eth0' : 'pb', frames);
        assert.equal((await ask(lab, inside.base, world.far.v4, WEB)).from, nat.external.v4, 'a new connection opens');
        await transfer.finish();
        const flows = await lab.daemon.json('flow', 'list', '--endpoint', flooder.endpoint, '--limit', '100000');
        assert.ok(flows.length <= FLOW_LIMIT, `the flooder has ${flows.length} flows`);
        const after = await drops();
        const named = reasons[side].filter((reason) => (after.get(reason) ?? 0) > (before.get(reason) ?? 0));
        assert.ok(reasons[side].length === 0 || named.length > 0, `${JSON.stringify([...after])}`);
      });
    }
  }

  it('of any kind leaves a daemon of ordinary size', () => {
    const status = readFileSync(`/proc/${lab.daemon.pid}/status`, 'utf8');
    const residentMb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    assert.ok(residentMb < 400, `${residentMb} MB after all floods`);
  });

  async function flood(side: 'inside' | 'outside', make: Make): Promise<{ base: string; frames: Uint8Array[] }> {
    const outsideMac = JSON.parse(await lab.inside(nat.world.outside, ['ip', '-j', 'link', 'show', 'dev', 'pb']))[0]
      .address;
    const route =
      side === 'inside'
        ? { base: flooder.base, from: flooder.v4, to: '203.0.113.1', macs: { from: flooder.mac, to: gatewayMac } }
        : {
            base: nat.world.outside,
            from: nat.world.further.v4,
            to: nat.external.v4,
            macs: { from: outsideMac, to: routerMac },
          };
    const frames = Array.from({ length: FRAMES }, (_, n) => ether(route.macs, make(n, route.from, route.to)).bytes);
    return { base: route.base, frames };
  }

  /** Dropped frames by reason, of everything. */
  async function drops(): Promise<Map<string, number>> {
    const rows: { reason: string; frames: number }[] = await lab.daemon.call('GET', '/v1/drops');
    return new Map(rows.map(({ reason, frames }) => [reason, frames]));
  }
});

/** Above the well-known ones, different for every n up to 50 000. */
function port(n: number): number {
  return 1024 + (n % 60_000);
}

/** RFC 792 echo request with identifier n. */
function echo(n: number): Uint8Array {
  const header = [8, 0, ...word(0), ...word(n & 0xffff), ...word(1)];
  const sum = 0x0800 + (n & 0xffff) + 1;
  header.splice(2, 2, ...word(~((sum & 0xffff) + (sum >> 16)) & 0xffff));
  return Uint8Array.from(header);
}
