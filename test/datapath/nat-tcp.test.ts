// TCP through the NAT: RFC 5382 and 7857. Requirement numbers are in the names.
import { strict as assert } from 'node:assert';
import {
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_FIN_INSIDE,
  TCP_FIN_OUTSIDE,
  TCP_RESET,
  TCP_SYN_INSIDE,
  TCP_SYN_OUTSIDE,
} from '../../src/tables/tcp-state.js';
import {
  GSO_TCP4,
  GSO_TCP6,
  ipv4,
  ipv6,
  needsChecksum,
  type Packet,
  partial,
  pattern,
  superFrame,
  TCP_ACK,
  TCP_FIN,
  TCP_SYN,
  tcp,
} from '../support/frame-builders.js';
import { EXTERNAL, EXTERNAL_6, NatLab, REMOTE, REMOTE_2, REMOTE_6, STATIONS } from '../support/nat-lab.js';

const ALICE = STATIONS.alice.v4;
const ALICE_6 = STATIONS.alice.v6;
const RST = 0x04;
const MINUTE = 60_000;

function segment(from: string, fromPort: number, to: string, toPort: number, flags: number, data = ''): Packet {
  const ip = from.includes(':') ? ipv6 : ipv4;
  return ip({ from, to }, tcp({ from: fromPort, to: toPort, flags }, data));
}

/** One connection of alice to port 80 of a remote host. */
class Connection {
  readonly nat: NatLab;
  readonly inside: string;
  readonly remote: string;
  readonly external: string;
  port = 0;

  constructor(nat: NatLab, remote = REMOTE) {
    this.nat = nat;
    this.remote = remote;
    this.inside = remote.includes(':') ? ALICE_6 : ALICE;
    this.external = remote.includes(':') ? EXTERNAL_6 : EXTERNAL;
  }

  /** A segment from inside, which has to go through. */
  out(flags: number, data = ''): this {
    this.nat.send('alice', segment(this.inside, 4000, this.remote, 80, flags, data));
    this.port = this.nat.takeOne('world').sourcePort;
    return this;
  }

  /** A segment from outside, which has to go through. */
  in(flags: number, data = ''): this {
    this.nat.send('world', segment(this.remote, 80, this.external, this.port, flags, data));
    this.nat.takeOne('alice');
    return this;
  }

  open(): this {
    return this.out(TCP_SYN)
      .in(TCP_SYN | TCP_ACK)
      .out(TCP_ACK);
  }

  /** State of its flow, or null when there is none. */
  get state(): number | null {
    const { flows } = this.nat.lab.nat;
    return flows.count === 0 ? null : flows.state(0);
  }

  /** Whether the flow is still there after so long a silence. */
  lasts(ms: number): boolean {
    this.nat.lab.advance(ms);
    for (let turn = 0; turn < 64; turn++) this.nat.lab.run();
    return this.nat.lab.nat.flows.count > 0;
  }
}

describe('NAT of TCP', () => {
  for (const remote of [REMOTE, REMOTE_6]) {
    it(`carries a connection to ${remote} from its first to its last segment`, () => {
      const connection = new Connection(new NatLab(), remote);
      connection.out(TCP_SYN);
      assert.equal(connection.state, TCP_SYN_INSIDE);
      connection.in(TCP_SYN | TCP_ACK);
      assert.equal(connection.state, TCP_ESTABLISHED);
      connection
        .out(TCP_ACK, 'GET /')
        .in(TCP_ACK, '200')
        .in(TCP_FIN | TCP_ACK);
      assert.equal(connection.state, TCP_FIN_OUTSIDE);
      connection.out(TCP_FIN | TCP_ACK);
      assert.equal(connection.state, TCP_CLOSING);
      connection.in(TCP_ACK);
    });
  }

  it('RFC 5382 REQ-1: maps the same for all destinations', () => {
    const nat = new NatLab();
    nat.send('alice', segment(ALICE, 4000, REMOTE, 80, TCP_SYN));
    nat.send('alice', segment(ALICE, 4000, REMOTE_2, 443, TCP_SYN));
    const [first, second] = nat.take('world');
    assert.equal(first!.sourcePort, second!.sourcePort);
  });

  it('RFC 5382 REQ-2: lets a simultaneous open through', () => {
    const connection = new Connection(new NatLab());
    connection.out(TCP_SYN).in(TCP_SYN);
    assert.equal(connection.state, TCP_ESTABLISHED);
    connection
      .out(TCP_SYN | TCP_ACK)
      .in(TCP_SYN | TCP_ACK)
      .out(TCP_ACK)
      .in(TCP_ACK);
  });

  it('drops segments of connections that it does not know, and RSTs', () => {
    const nat = new NatLab();
    for (const flags of [TCP_ACK, TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, RST, TCP_SYN | RST]) {
      nat.send('alice', segment(ALICE, 4000, REMOTE, 80, flags));
      assert.deepEqual(nat.drops(), { 'nat-no-session': 1 });
    }
    assert.equal(nat.lab.nat.flows.count, 0);
  });

  it('RFC 5382 REQ-5: keeps an idle connection for 2 h 4 min, and one that is being opened or closed for 4 min', () => {
    assert.ok(new Connection(new NatLab()).open().lasts(123 * MINUTE));
    assert.ok(!new Connection(new NatLab()).open().lasts(125 * MINUTE));
    assert.ok(new Connection(new NatLab()).out(TCP_SYN).lasts(3.9 * MINUTE));
    assert.ok(!new Connection(new NatLab()).out(TCP_SYN).lasts(4.1 * MINUTE));
    const closed = () => new Connection(new NatLab()).open().out(TCP_FIN).in(TCP_FIN);
    assert.ok(closed().lasts(3.9 * MINUTE));
    assert.ok(!closed().lasts(4.1 * MINUTE));
    const half = new Connection(new NatLab()).open().out(TCP_FIN);
    assert.equal(half.state, TCP_FIN_INSIDE);
    assert.ok(half.lasts(120 * MINUTE), 'a half-closed connection still carries data');
  });

  it('RFC 7857 section 2.2: lets a RST through, keeps the session 4 min, and takes it up again when data come', () => {
    const reset = new Connection(new NatLab()).open().in(RST);
    assert.equal(reset.state, TCP_RESET);
    assert.ok(!reset.lasts(4.1 * MINUTE));
    const forged = new Connection(new NatLab()).open().in(RST).out(TCP_ACK, 'still here');
    assert.equal(forged.state, TCP_ESTABLISHED);
    assert.ok(forged.lasts(120 * MINUTE));
  });

  it('RFC 7857 section 7.1: keeps nothing alive for RSTs, in neither direction', () => {
    const nat = new NatLab({ filtering: 'independent' });
    const connection = new Connection(nat).out(TCP_SYN);
    connection.in(TCP_ACK);
    nat.send('world', segment(REMOTE_2, 90, EXTERNAL, connection.port, TCP_SYN));
    nat.takeOne('alice');
    assert.equal(nat.lab.nat.flows.count, 2);
    nat.advance(3 * MINUTE);
    connection.in(RST);
    nat.send('alice', segment(ALICE, 4000, REMOTE_2, 90, RST | TCP_ACK));
    nat.takeOne('world');
    assert.ok(!connection.lasts(1.1 * MINUTE));
  });

  it('lets a client use its port again while the entry of the old connection waits for its end', () => {
    const connection = new Connection(new NatLab()).open().out(TCP_FIN).in(TCP_FIN);
    connection.open();
    assert.equal(connection.state, TCP_ESTABLISHED);
  });

  it('RFC 7857 section 2.1: has its timers set by the network', () => {
    const timers = { tcpEstablished: 600, tcpTransitory: 30 };
    assert.ok(!new Connection(new NatLab({ timers })).open().lasts(11 * MINUTE));
    assert.ok(!new Connection(new NatLab({ timers })).out(TCP_SYN).lasts(31_000));
  });

  it('translates super-frames whole, their partial checksums stay partial', () => {
    const nat = new NatLab();
    const connection = new Connection(nat).open();
    const big = ipv4({ from: ALICE, to: REMOTE }, tcp({ from: 4000, to: 80 }, pattern(30_000)));
    nat.send('alice', superFrame(nat.frame('alice', big), GSO_TCP4, 1460));
    const out = nat.takeOne('world');
    assert.equal(out.text, `tcp ${EXTERNAL}:${connection.port} > ${REMOTE}:80 A`);
    assert.equal(out.frame.vnet?.gsoSize, 1460);
    assert.equal(out.frame.vnet?.flags, 1);
    const back = ipv4({ from: REMOTE, to: EXTERNAL }, tcp({ from: 80, to: connection.port }, pattern(9000)));
    nat.send('world', superFrame(nat.frame('world', back), GSO_TCP4, 1448));
    assert.equal(nat.takeOne('alice').frame.vnet?.gsoType, GSO_TCP4);

    const second = new Connection(nat, REMOTE_6).open();
    const big6 = ipv6({ from: ALICE_6, to: REMOTE_6 }, tcp({ from: 4000, to: 80 }, pattern(30_000)));
    nat.send('alice', superFrame(nat.frame('alice', big6), GSO_TCP6, 1440));
    assert.equal(nat.takeOne('world').text, `tcp [${EXTERNAL_6}]:${second.port} > [${REMOTE_6}]:80 A`);
  });

  it('translates frames whose checksum is left to the device', () => {
    const nat = new NatLab();
    new Connection(nat).open();
    const packet = ipv4({ from: ALICE, to: REMOTE }, tcp({ from: 4000, to: 80 }, 'data'));
    nat.send('alice', partial(nat.frame('alice', packet)));
    const { frame } = nat.takeOne('world');
    assert.equal(frame.vnet?.flags, 1);
  });

  it('drops an offload that would put an address or a port back after the translation', () => {
    const nat = new NatLab();
    new Connection(nat).open();
    const packet = nat.frame('alice', ipv4({ from: ALICE, to: REMOTE }, tcp({ from: 4000, to: 80 }, 'data')));
    for (const [start, offset] of [
      [14, 12],
      [34, 0],
      [36, 14],
      [34, 6],
    ] as const) {
      nat.send('alice', { ...packet, vnet: needsChecksum(start, offset) });
      assert.deepEqual([nat.texts('world'), nat.drops()], [[], { 'bad-offload': 1 }]);
    }
  });

  it('keeps a damaged segment damaged', () => {
    const nat = new NatLab();
    new Connection(nat).open();
    const packet = segment(ALICE, 4000, REMOTE, 80, TCP_ACK, 'data');
    packet.bytes[packet.bytes.length - 1]! ^= 1;
    nat.send('alice', packet);
    assert.throws(() => nat.takeOne('world'), /transport checksum/);
  });
});

describe('an unsolicited SYN', () => {
  const syn = (from = REMOTE): Packet => segment(from, 80, EXTERNAL, 5000, TCP_SYN);

  it('RFC 5382 REQ-4: is answered with an ICMP error, but not before 6 s', () => {
    const nat = new NatLab();
    nat.send('world', syn());
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], {}]);
    nat.advance(5500);
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], {}]);
    nat.advance(1000);
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1 });
    assert.deepEqual(nat.texts('world'), [`error 3/3 ${EXTERNAL} > ${REMOTE} (tcp ${REMOTE}:80 > ${EXTERNAL}:5000)`]);
  });

  it('RFC 5382 REQ-4: is dropped silently when the inside opens the connection meanwhile', () => {
    const nat = new NatLab();
    const other = new Connection(nat, REMOTE_2).out(TCP_SYN);
    nat.send('world', segment(REMOTE, 80, EXTERNAL, other.port, TCP_SYN));
    assert.deepEqual([nat.texts('alice'), nat.drops()], [[], {}], 'address-dependent filtering holds it');
    new Connection(nat, REMOTE).out(TCP_SYN).in(TCP_SYN);
    nat.advance(7000);
    assert.deepEqual([nat.texts('world'), nat.drops()], [[], { 'nat-syn-held': 1 }]);
  });

  it('that is dropped in the end is nothing that the connection has heard', () => {
    const nat = new NatLab();
    const other = new Connection(nat, REMOTE_2).out(TCP_SYN);
    nat.send('world', segment(REMOTE, 80, EXTERNAL, other.port, TCP_SYN));
    new Connection(nat, REMOTE).out(TCP_SYN);
    nat.advance(7000);
    assert.deepEqual(nat.drops(), { 'nat-syn-held': 1 });
    const { flows } = nat.lab.nat;
    assert.deepEqual([flows.count, flows.state(0), flows.state(1)], [2, TCP_SYN_INSIDE, TCP_SYN_INSIDE]);
    assert.deepEqual([flows.bytesIn(0), flows.bytesIn(1)], [0, 0]);
  });

  it('is held once, however often it comes', () => {
    const nat = new NatLab();
    for (let n = 0; n < 3; n++) nat.send('world', syn());
    assert.deepEqual(nat.drops(), { 'nat-syn-held': 2 });
    nat.advance(7000);
    assert.deepEqual(nat.drops(), { 'nat-no-mapping': 1 });
    assert.equal(nat.take('world').length, 1);
  });

  it('of a flood is dropped without an answer once enough are held, and the inside notices nothing', () => {
    const nat = new NatLab();
    const connection = new Connection(nat).open();
    for (let n = 0; n < 500; n++) nat.lab.queue('world', nat.frame('world', syn(`192.0.2.${n % 250}`)));
    for (let n = 0; n < 500; n++) {
      const forged = segment(`192.0.2.${n % 250}`, 1000 + n, EXTERNAL, 5001, TCP_SYN);
      nat.lab.queue('world', nat.frame('world', forged));
    }
    nat.lab.run();
    const drops = nat.drops();
    assert.ok(drops['nat-syn-held']! >= 900, `${drops['nat-syn-held']} of 1000`);
    assert.deepEqual(nat.texts('world'), []);
    connection.in(TCP_ACK, 'data').out(TCP_ACK);
    nat.advance(8000);
    nat.take('world');
    nat.drops();
    connection.out(TCP_ACK);
  });

  it('is let in where filtering is endpoint-independent and somebody has the port', () => {
    const nat = new NatLab({ filtering: 'independent' });
    const first = new Connection(nat, REMOTE_2).open();
    nat.send('world', segment(REMOTE, 80, EXTERNAL, first.port, TCP_SYN));
    assert.deepEqual(nat.texts('alice'), [`tcp ${REMOTE}:80 > ${ALICE}:4000 S`]);
    assert.equal(nat.lab.nat.flows.state(1), TCP_SYN_OUTSIDE);
    nat.send('alice', segment(ALICE, 4000, REMOTE, 80, TCP_SYN | TCP_ACK));
    assert.equal(nat.takeOne('world').sourcePort, first.port);
    assert.equal(nat.lab.nat.flows.state(1), TCP_ESTABLISHED);
  });

  it('opens nothing with other flags than SYN', () => {
    const nat = new NatLab({ filtering: 'independent' });
    const first = new Connection(nat, REMOTE_2).open();
    for (const flags of [TCP_ACK, TCP_SYN | TCP_ACK, RST]) {
      nat.send('world', segment(REMOTE, 80, EXTERNAL, first.port, flags));
      assert.deepEqual([nat.texts('alice'), nat.drops()], [[], { 'nat-no-session': 1 }]);
    }
  });
});
