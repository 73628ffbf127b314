// One line per frame: what a person reads in `weft capture`, in traces and in failing tests.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { describeFrame } from '../../src/wire/describe.js';
import { corpus } from '../capture/capture-frames.js';
import {
  BROADCAST,
  ether,
  ipv4,
  ipv6,
  join,
  type Packet,
  pattern,
  raw,
  type Tag,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PUSH,
  TCP_SYN,
  TPID_SERVICE,
  tcp,
  udp,
  word,
} from '../support/frame-builders.js';

const WEB = '02:00:00:00:00:01';
const DB = '02:00:00:00:00:02';
const v4 = { from: '192.0.2.1', to: '192.0.2.2' };
const v6 = { from: '2001:db8::1', to: '2001:db8::2' };

function line(bytes: Uint8Array, captured = bytes.length, withMacs = false): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, captured);
  return describeFrame(view, 0, captured, bytes.length, withMacs);
}

function frame(payload: Packet | Uint8Array, type?: number, tags: Tag[] = []): Uint8Array {
  return ether({ from: WEB, to: DB, tags, ...(type === undefined ? {} : { type }) }, payload).bytes;
}

function arp(operation: number): Uint8Array {
  const sender = [2, 0, 0, 0, 0, 1, 192, 0, 2, 1];
  return Uint8Array.from([0, 1, 8, 0, 6, 4, 0, operation, ...sender, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
}

function tunnelled(vni: number, inner: Uint8Array): Uint8Array {
  return frame(ipv4(v4, udp(50_000, 4789, join([8, 0, 0, 0, vni >> 16, (vni >> 8) & 255, vni & 255, 0], inner))));
}

function icmp6(type: number, rest: Uint8Array | number[]): Packet {
  return ipv6(v6, raw(58, join([type, 0, 0, 0], rest)));
}

const address = Uint8Array.from([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
const bridge = [0x80, 0, 2, 0, 0, 0, 0, 9];
const bpdu = (version: number) =>
  Uint8Array.from([
    0x42,
    0x42,
    3,
    0,
    0,
    version,
    version,
    0x3c,
    ...bridge,
    0,
    0,
    0,
    4,
    ...bridge,
    0x80,
    1,
    0,
    0,
    20,
    0,
  ]);

const LINES: [string, Uint8Array, string][] = [
  ['an ARP request', frame(arp(1), 0x0806), 'ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28'],
  ['an ARP reply', frame(arp(2), 0x0806), `ARP, Reply 192.0.2.1 is-at ${WEB}, length 28`],
  ['another ARP', frame(arp(9), 0x0806), 'ARP, operation 9, length 28'],
  ['UDP', frame(ipv4(v4, udp(4000, 53, 'who?'))), 'IP 192.0.2.1.4000 > 192.0.2.2.53: UDP, length 4'],
  ['UDP over IPv6', frame(ipv6(v6, udp(4000, 53, 'who?'))), 'IP6 2001:db8::1.4000 > 2001:db8::2.53: UDP, length 4'],
  [
    'a TCP SYN',
    frame(ipv4(v4, tcp({ flags: TCP_SYN | TCP_ECE | TCP_CWR, sequence: 0xffffffff }))),
    'IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [SEW], seq 4294967295, win 512, length 0',
  ],
  [
    'TCP data over the end of the numbers',
    frame(ipv4(v4, tcp({ flags: TCP_ACK | TCP_PUSH, sequence: 0xfffffffe }, 'four'))),
    'IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [P.], seq 4294967294:2, ack 2000, win 512, length 4',
  ],
  [
    'a plain acknowledgement',
    frame(ipv4(v4, tcp({ flags: TCP_ACK, options: pattern(12) }))),
    'IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [.], ack 2000, win 512, length 0',
  ],
  [
    'a TCP FIN',
    frame(ipv4(v4, tcp({ flags: TCP_ACK | TCP_FIN }))),
    'IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [F.], seq 1000, ack 2000, win 512, length 0',
  ],
  [
    'a TCP super-frame',
    frame(ipv4(v4, tcp({ sequence: 1 }, pattern(64_000)))),
    'IP 192.0.2.1.40000 > 192.0.2.2.80: Flags [.], seq 1:64001, ack 2000, win 512, length 64000',
  ],
  [
    'a ping',
    frame(ipv4(v4, raw(1, Uint8Array.from([8, 0, 0, 0, 0, 7, 0, 9, 1, 2])))),
    'IP 192.0.2.1 > 192.0.2.2: ICMP echo request, id 7, seq 9, length 10',
  ],
  [
    'an unreachable host',
    frame(ipv4(v4, raw(1, join([3, 1, 0, 0, 0, 0, 0, 0], ipv4({ from: v4.to, to: '198.51.100.7' }, udp(1, 2)).bytes)))),
    'IP 192.0.2.1 > 192.0.2.2: ICMP host unreachable for 198.51.100.7, length 36',
  ],
  [
    'a path that is too narrow',
    frame(ipv4(v4, raw(1, Uint8Array.from([3, 4, 0, 0, 0, 0, ...word(1400)])))),
    'IP 192.0.2.1 > 192.0.2.2: ICMP need to frag, mtu 1400, length 8',
  ],
  [
    'an IPv6 ping',
    frame(icmp6(128, [0, 7, 0, 9])),
    'IP6 2001:db8::1 > 2001:db8::2: ICMP6, echo request, id 7, seq 9, length 8',
  ],
  [
    'a neighbor solicitation',
    frame(icmp6(135, join([0, 0, 0, 0], address))),
    'IP6 2001:db8::1 > 2001:db8::2: ICMP6, neighbor solicitation, who has 2001:db8::2, length 24',
  ],
  [
    'a multicast report behind an extension header',
    frame(
      ipv6(
        { ...v6, extensions: [{ type: 0, options: Uint8Array.from([5, 2, 0, 0]) }] },
        raw(58, Uint8Array.from([143, 0, 0, 0, 0, 0, 0, 1])),
      ),
    ),
    'IP6 2001:db8::1 > 2001:db8::2: ICMP6, multicast listener report v2, length 8',
  ],
  [
    'a first fragment',
    frame(ipv4({ ...v4, flags: 0x2000, id: 77 }, udp(1, 2, pattern(16)))),
    'IP 192.0.2.1.1 > 192.0.2.2.2: UDP, length 16 (first fragment, id 77)',
  ],
  [
    'a later fragment',
    frame(ipv4({ ...v4, flags: 0x2002, id: 77 }, raw(17, pattern(16)))),
    'IP 192.0.2.1 > 192.0.2.2: UDP fragment, id 77, offset 16+, length 16',
  ],
  [
    'an IPv6 fragment',
    frame(ipv6(v6, { protocol: 44, bytes: join([6, 0, 0, 16, 0, 0, 0, 5], pattern(8)), checksumOffset: -1 })),
    'IP6 2001:db8::1 > 2001:db8::2: TCP fragment, id 5, offset 16, length 8',
  ],
  [
    'a frame in VXLAN, with the frame inside',
    tunnelled(4711, frame(ipv4(v4, udp(4000, 53, 'who?')), undefined, [5])),
    'IP 192.0.2.1.50000 > 192.0.2.2.4789: VXLAN, vni 4711: vlan 5, IP 192.0.2.1.4000 > 192.0.2.2.53: UDP, length 4',
  ],
  [
    'VXLAN in VXLAN, of which only the outer one is looked into',
    tunnelled(1, tunnelled(2, frame(arp(1), 0x0806))),
    'IP 192.0.2.1.50000 > 192.0.2.2.4789: VXLAN, vni 1: IP 192.0.2.1.50000 > 192.0.2.2.4789: UDP, length 50',
  ],
  [
    'a datagram for the port of VXLAN that is none',
    frame(ipv4(v4, udp(50_000, 4789, pattern(30)))),
    'IP 192.0.2.1.50000 > 192.0.2.2.4789: UDP, length 30',
  ],
  ['another protocol of IP', frame(ipv4(v4, raw(47, pattern(8)))), 'IP 192.0.2.1 > 192.0.2.2: GRE, length 8'],
  [
    'an unknown protocol of IP',
    frame(ipv4(v4, raw(200, pattern(8)))),
    'IP 192.0.2.1 > 192.0.2.2: protocol 200, length 8',
  ],
  ['a tag', frame(arp(2), 0x0806, [5]), `vlan 5, ARP, Reply 192.0.2.1 is-at ${WEB}, length 28`],
  [
    'two tags with priorities',
    frame(arp(9), 0x0806, [
      { vlan: 100, type: TPID_SERVICE },
      { vlan: 5, priority: 6, dropEligible: true },
    ]),
    'service vlan 100, vlan 5, p 6, dei, ARP, operation 9, length 28',
  ],
  ['LLDP', frame(Uint8Array.from([2, 2, 4, 1, 4, 2, 3, 9, 6, 2, 0, 120, 0, 0]), 0x88cc), 'LLDP, ttl 120, length 14'],
  [
    'LACP',
    frame(Uint8Array.from([1, 1, 1, 20, 0, 1, 2, 0, 0, 0, 0, 9, 0, 33, 0, 0]), 0x8809),
    'LACPv1, actor 02:00:00:00:00:09, key 33, length 16',
  ],
  [
    'rapid spanning tree',
    frame(bpdu(2), 34),
    'RSTP, bridge 8000.02:00:00:00:00:09, port 8001, root 8000.02:00:00:00:00:09, cost 4, length 34',
  ],
  ['a topology change', frame(Uint8Array.from([0x42, 0x42, 3, 0, 0, 0, 0x80]), 7), 'STP, topology change, length 7'],
  [
    'SNAP',
    frame(Uint8Array.from([0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 1]), 9),
    'SNAP, oui 0x00000c, type 0x2000, length 9',
  ],
  ['another LLC', frame(Uint8Array.from([0xe0, 0xe0, 3, 1]), 4), 'LLC, dsap 0xe0, ssap 0xe0, length 4'],
  ['a known type', frame(pattern(46), 0x888e), 'EAPOL (0x888e), length 46'],
  ['an unknown type', frame(pattern(46), 0x88b5), 'ethertype 0x88b5, length 46'],
];

describe('wire/describe', () => {
  for (const [what, bytes, expected] of LINES) {
    it(`describes ${what}`, () => assert.equal(line(bytes), expected));
  }

  it('begins with the addresses of the frame when asked', () => {
    const bytes = ether({ from: WEB, to: BROADCAST, type: 0x0806 }, arp(1)).bytes;
    assert.equal(
      line(bytes, bytes.length, true),
      `${WEB} > ${BROADCAST}, ARP, Request who-has 192.0.2.2 tell 192.0.2.1, length 28`,
    );
  });

  it('names the protocol at which a frame is cut, and keeps the lengths of the wire', () => {
    const bytes = frame(ipv4(v4, tcp({}, pattern(100))), undefined, [5]);
    assert.equal(line(bytes, 13), '[|ether], length 158');
    assert.equal(line(bytes, 17), '[|vlan], length 158');
    assert.equal(line(bytes, 20), 'vlan 5, IP [|ip], length 140');
    assert.equal(line(bytes, 40), 'vlan 5, IP 192.0.2.1 > 192.0.2.2: [|tcp], length 120');
    assert.equal(line(bytes, 50), 'vlan 5, IP 192.0.2.1.40000 > 192.0.2.2.80: [|tcp], length 120');
    assert.equal(line(bytes, 58), line(bytes));
  });

  it('says when a packet claims more bytes than its frame has', () => {
    const bytes = frame(ipv4(v4, udp(1, 2, pattern(50))));
    assert.equal(
      line(bytes.slice(0, -20)),
      'truncated-ip - 20 bytes missing! IP 192.0.2.1.1 > 192.0.2.2.2: UDP, length 50',
    );
    const bytes6 = frame(ipv6(v6, udp(1, 2, pattern(50))));
    assert.equal(
      line(bytes6.slice(0, -20)),
      'truncated-ip6 - 20 bytes missing! IP6 2001:db8::1.1 > 2001:db8::2.2: UDP, length 50',
    );
  });

  it('says when a datagram claims fewer bytes than its header', () => {
    const bytes = frame(ipv4(v4, udp(1, 2)));
    bytes[39] = 7;
    assert.equal(line(bytes), 'IP 192.0.2.1.1 > 192.0.2.2.2: UDP bad length 7');
  });

  it('describes every prefix of every frame, whatever bytes are in it, in one printable line', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    const frames = [
      ...LINES.map(([, bytes]) => bytes.slice(0, 200)),
      ...corpus(prng, 400).map((bytes) => bytes.slice(0, 200)),
    ];
    for (const original of frames) {
      for (let captured = 0; captured <= original.length; captured++) {
        const bytes = original.slice(0, captured);
        for (let n = prng.below(4); n > 0 && captured > 12; n--) bytes[12 + prng.below(captured - 12)] = prng.next();
        // The view ends with the frame: reading beyond it throws.
        const text = describeFrame(new DataView(bytes.buffer), 0, captured, captured + prng.below(3), true);
        assert.match(text, /^[ -~]{1,600}$/, `seed ${seed}: ${Buffer.from(bytes).toString('hex')}`);
      }
    }
  });

  it('reads nothing in front of the frame either', () => {
    const bytes = frame(ipv4(v4, udp(4000, 53, 'who?')));
    const shifted = join(pattern(33), bytes, pattern(9));
    assert.equal(describeFrame(new DataView(shifted.buffer), 33, bytes.length), line(bytes));
  });
});
