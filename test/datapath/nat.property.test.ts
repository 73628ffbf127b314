// The NAT against a model of it: random stations, remote endpoints and packets in both directions, for every mapping and
// filtering. What the model says of each packet has to be what happens.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { ipv4, ipv6, type Packet, raw, TCP_ACK, TCP_SYN, tcp, udp } from '../support/frame-builders.js';
import { icmp4, icmp6 } from '../support/icmp-builders.js';
import { EXTERNAL, EXTERNAL_6, NatLab, type NatSettings, STATIONS } from '../support/nat-lab.js';

const STEPS = 4000;

type Inside = 'alice' | 'bob';

interface Endpoint {
  address: string;
  port: number;
}

function key(...parts: readonly (string | number)[]): string {
  return parts.join(' ');
}

/** What RFC 4787 says, with maps of text. */
class Model {
  readonly settings: NatSettings;
  /** External port by inside endpoint (and remote endpoint). */
  private readonly portOf = new Map<string, number>();
  /** Inside endpoint by external port. */
  private readonly ownerOf = new Map<string, { station: Inside; port: number }>();
  private readonly spokenTo = new Map<string, Set<string>>();

  constructor(settings: NatSettings) {
    this.settings = settings;
  }

  /** A packet went out with this external port. */
  out(family: number, station: Inside, port: number, remote: Endpoint, external: number): void {
    const isDependent = this.settings.mapping === 'dependent';
    const mapping = key(family, station, port, ...(isDependent ? [remote.address, remote.port] : []));
    const known = this.portOf.get(mapping);
    if (known !== undefined) assert.equal(external, known, 'the mapping stays');
    const owner = this.ownerOf.get(key(family, external));
    if (owner !== undefined) assert.deepEqual(owner, { station, port }, 'nobody else has the port');
    this.portOf.set(mapping, external);
    this.ownerOf.set(key(family, external), { station, port });
    const peers = this.spokenTo.get(key(family, external)) ?? new Set();
    this.spokenTo.set(key(family, external), peers.add(remote.address).add(key(remote.address, remote.port)));
  }

  /** Who gets a packet from outside, or null. */
  in(family: number, remote: Endpoint, external: number): { station: Inside; port: number } | null {
    const owner = this.ownerOf.get(key(family, external));
    if (owner === undefined) return null;
    // Two endpoints have one session: they do not speak through two external ports at once.
    const spoken = this.portOf.get(key(family, owner.station, owner.port, remote.address, remote.port));
    if (spoken !== undefined && spoken !== external) return null;
    const peers = this.spokenTo.get(key(family, external))!;
    const isLetIn =
      this.settings.filtering === 'independent' ||
      (this.settings.filtering === 'address' && peers.has(remote.address)) ||
      peers.has(key(remote.address, remote.port));
    return isLetIn ? owner : null;
  }
}

describe('the NAT', () => {
  for (const mapping of ['independent', 'dependent'] as const) {
    for (const filtering of ['independent', 'address', 'address-and-port'] as const) {
      it(`does as its model says: mapping ${mapping}, filtering ${filtering}`, () =>
        run({ mapping, filtering }, 20260711));
    }
  }

  it('lives through packets of every kind that are damaged everywhere, and its books balance', () => {
    const random = new Prng(4711);
    const nat = new NatLab({
      published: [`tcp * 80 ${STATIONS.alice.v4} 80`],
      pairs: [`${STATIONS.bob.v6} 2001:db8:e::9`],
    });
    for (let n = 0; n < 20_000; n++) {
      const station = (['alice', 'bob', 'world'] as const)[random.below(3)]!;
      const { bytes, ...rest } = nat.frame(station, somePacket(random, station === 'world'));
      const cut = random.below(4) === 0 ? 14 + random.below(bytes.length - 13) : bytes.length;
      const damaged = bytes.slice(0, cut);
      for (let i = random.below(4); i > 0; i--)
        damaged[14 + (random.below(60) % Math.max(1, damaged.length - 14))]! = random.below(256);
      nat.lab.queue(station, { ...rest, bytes: damaged });
      if (n % 200 === 199) {
        nat.lab.run();
        nat.lab.ignoreDepartures();
        nat.lab.advance(random.below(500));
      }
    }
    nat.lab.run();
    nat.lab.ignoreDepartures();
    nat.drops();
    nat.advance(5000);
    nat.lab.advance(8_000_000);
    for (let turn = 0; turn < 200; turn++) nat.lab.run();
    nat.lab.ignoreDepartures();
    nat.drops();
    const { flows, subscribers } = nat.lab.nat;
    assert.deepEqual([flows.count, subscribers.count], [0, 0], 'everything ends');
  });
});

function run(settings: NatSettings, seed: number): void {
  const random = new Prng(seed);
  const nat = new NatLab(settings);
  const model = new Model(settings);
  const given: { family: number; port: number }[] = [];
  for (let step = 0; step < STEPS; step++) {
    const family = random.below(2) === 0 ? 4 : 6;
    const address = family === 4 ? `198.51.100.${1 + random.below(5)}` : `2001:db8:f::${1 + random.below(5)}`;
    const remote = { address, port: 1000 + random.below(4) };
    const external = family === 4 ? EXTERNAL : EXTERNAL_6;
    const ip = family === 4 ? ipv4 : ipv6;
    if (random.below(3) === 0) {
      const station = random.below(2) === 0 ? 'alice' : 'bob';
      const from = family === 4 ? STATIONS[station].v4 : STATIONS[station].v6;
      const port = 4000 + random.below(12);
      nat.send(station, ip({ from, to: address }, udp(port, remote.port, 'x')));
      const { sourcePort } = nat.takeOne('world');
      model.out(family, station, port, remote, sourcePort);
      given.push({ family, port: sourcePort });
    } else {
      const own = given.filter((each) => each.family === family);
      const isWild = own.length === 0 || random.below(6) === 0;
      const port = isWild ? 1024 + random.below(60_000) : own[random.below(own.length)]!.port;
      const owner = model.in(family, remote, port);
      nat.send('world', ip({ from: address, to: external }, udp(remote.port, port, 'x')));
      const seen = [...nat.take('alice'), ...nat.take('bob')];
      assert.equal(seen.length, owner === null ? 0 : 1, `step ${step}: ${remote.address}:${remote.port} to ${port}`);
      if (owner !== null) {
        const inside = family === 4 ? STATIONS[owner.station].v4 : STATIONS[owner.station].v6;
        assert.deepEqual([seen[0]!.to, seen[0]!.destinationPort], [inside, owner.port]);
        model.out(family, owner.station, owner.port, remote, port);
      }
      nat.take('world');
      nat.drops();
    }
  }
}

function somePacket(random: Prng, isFromWorld: boolean): Packet {
  const is4 = random.below(2) === 0;
  const ip = is4 ? ipv4 : ipv6;
  const remote = is4 ? `198.51.100.${1 + random.below(3)}` : `2001:db8:f::${1 + random.below(3)}`;
  const inside = is4 ? STATIONS.alice.v4 : STATIONS.alice.v6;
  const external = is4 ? EXTERNAL : EXTERNAL_6;
  const from = isFromWorld ? remote : inside;
  const to = isFromWorld || random.below(8) === 0 ? external : remote;
  const icmp = is4 ? icmp4 : icmp6;
  switch (random.below(6)) {
    case 0:
      return ip({ from, to }, udp(4000 + random.below(8), random.below(100), 'some data'));
    case 1:
      return ip(
        { from, to },
        tcp({ from: random.below(100), to: 80, flags: random.below(2) === 0 ? TCP_SYN : TCP_ACK }, 'x'),
      );
    case 2:
      return ip(
        { from, to },
        icmp(is4 ? 8 * random.below(2) : 128 + random.below(2), 0, random.below(65536) << 16, 'ping'),
      );
    case 3: {
      const quoted = ip({ from: to, to: from }, udp(53, 4000, 'some data'));
      return ip({ from, to }, icmp(is4 ? 3 : 1, random.below(5), 0, quoted.bytes));
    }
    case 4:
      return ip({ from, to }, raw(random.below(256), 'whatever it is, it is long enough'));
    default: {
      const packet = ip({ from, to, flags: 0 } as Parameters<typeof ipv4>[0], udp(4000, 53, 'x'.repeat(64)));
      if (is4) packet.bytes[6 + random.below(2)] = random.below(64);
      else packet.bytes[6] = 44;
      return packet;
    }
  }
}
