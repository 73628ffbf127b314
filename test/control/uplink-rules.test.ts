// The text that nftables gets for uplinks. That nftables takes it, and what it does, is in test/kernel/namespace-routing.test.ts.
import assert from 'node:assert/strict';
import { formatRules, type UplinkRules } from '../../src/control/uplinks/uplink-rules.js';

function rulesOf(text: string, chain: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  const first = lines.indexOf(`chain ${chain} {`);
  assert.ok(first >= 0, `there is a chain ${chain}`);
  return lines.slice(first + 2, lines.indexOf('}', first));
}

function uplink(changes: Partial<UplinkRules>): UplinkRules {
  return { ifname: 'weft-front', masquerade: [], external: ['100.64.0.2'], published: [], ...changes };
}

describe('rules of an uplink', () => {
  it('keep the loopback addresses of the machine out of reach', () => {
    const text = formatRules([uplink({}), uplink({ ifname: 'weft-back', external: ['100.64.0.6'] })]);
    assert.deepEqual(rulesOf(text, 'guard'), [
      'iifname { "weft-front", "weft-back" } ip daddr 127.0.0.0/8 drop',
      'iifname { "weft-front", "weft-back" } ip saddr 127.0.0.0/8 drop',
    ]);
  });

  it('masquerade what leaves, of both families, but only if that is wanted', () => {
    const external = ['100.64.0.2', 'fd00::2'];
    const hidden = rulesOf(formatRules([uplink({ external, masquerade: external })]), 'leaving');
    const open = rulesOf(formatRules([uplink({ external })]), 'leaving');
    const back = [
      'oifname "weft-front" ip saddr 127.0.0.0/8 masquerade',
      'oifname "weft-front" ip saddr { 100.64.0.2 } masquerade',
      'oifname "weft-front" ip6 saddr { fd00::2 } masquerade',
    ];
    assert.deepEqual(open, back);
    assert.deepEqual(
      hidden.filter((rule) => !back.includes(rule)),
      [
        'oifname != "weft-front" ip saddr { 100.64.0.2 } masquerade',
        'oifname != "weft-front" ip6 saddr { fd00::2 } masquerade',
      ],
    );
  });

  it('keep the machine from refusing what is for ports of weft that share its address', () => {
    const [tcp, udp] = [[{ first: 61000, last: 65535 }], [{ first: 53, last: 53 }]];
    const text = formatRules([], [{ address: '192.0.2.1', tcp, udp }]);
    assert.deepEqual(rulesOf(text, 'quiet'), [
      'ip saddr 192.0.2.1 tcp sport 61000-65535 tcp flags & rst == rst meta mark != 0x77656674 drop',
      'ip saddr 192.0.2.1 icmp type destination-unreachable icmp code port-unreachable ' +
        '@th,136,8 17 @th,240,16 >= 53 @th,240,16 <= 53 meta mark != 0x77656674 drop',
    ]);
    assert.ok(!text.includes('masquerade') && !text.includes('dnat'));
  });

  it('lead published ports to weft, from outside and from the machine itself', () => {
    const target = '100.64.0.2';
    const text = formatRules([
      uplink({
        published: [
          { protocol: 'tcp', family: 4, hostAddress: null, first: 8080, last: 8080, target },
          { protocol: 'udp', family: 4, hostAddress: '192.0.2.1', first: 5000, last: 5009, target },
          { protocol: 'tcp', family: 6, hostAddress: null, first: 8080, last: 8080, target: 'fd00::2' },
        ],
      }),
    ]);
    const wanted = [
      'meta nfproto ipv4 fib daddr type local tcp dport 8080 dnat ip to 100.64.0.2',
      'meta nfproto ipv4 ip daddr 192.0.2.1 udp dport 5000-5009 dnat ip to 100.64.0.2',
      'meta nfproto ipv6 ip6 daddr != ::1 fib daddr type local tcp dport 8080 dnat ip6 to fd00::2',
    ];
    assert.deepEqual([rulesOf(text, 'published'), rulesOf(text, 'published_here')], [wanted, wanted]);
  });
});
