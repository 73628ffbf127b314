/** The host's own IPv6 stays silent on a host vNIC. A scratch namespace stands for the host. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { framesOf, ip, link, needsRoot, run, Scratch, tapRequest } from './scratch.js';

/**
 * Long enough for duplicate address detection and the first two router solicitations (RFC 4861 section 10: 4 s apart).
 */
const LISTEN_MS = 5500;
const ETHERTYPE_IPV6 = 0x86dd;
const HOP_BY_HOP = 0;
/** RFC 4443, RFC 4861, RFC 3810. */
const [ROUTER_SOLICITATION, NEIGHBOR_SOLICITATION, MLDV2_REPORT] = [133, 135, 143];

/** `arp`, `ipv4`, or the ICMPv6 type. */
function kindOf(frame: Buffer): number | string {
  const type = frame.readUInt16BE(12);
  if (type !== ETHERTYPE_IPV6) return `ethertype ${type.toString(16)}`;
  const at = 14 + 40 + (frame[20] === HOP_BY_HOP ? 8 : 0);
  return frame[at] ?? -1;
}

describe('kernel: a host vNIC', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  const sysctl = (name: string, key: string) =>
    run('ip', 'netns', 'exec', name, 'cat', `/proc/sys/net/ipv6/conf/eth0/${key}`).trim();

  it('sends nothing of its own: all silent with IPv4, no solicitations of any kind with IPv6', async () => {
    const [v4, v6, compartment] = [await scratch.place(), await scratch.place(), await scratch.place()];
    const [one, two] = [
      { addresses: ['192.0.2.1/24'], routes: [] },
      { addresses: ['2001:db8::1/64'], routes: [] },
    ];
    const taps = await Promise.all([
      scratch.tap(v4, tapRequest({ ...one, hostSide: true })),
      scratch.tap(v6, tapRequest({ ...two, hostSide: true })),
      scratch.tap(compartment, tapRequest(one)),
    ]);
    await sleep(LISTEN_MS);
    const [silent, quiet, usual] = taps.map((tap) => framesOf(tap).map(kindOf));
    assert.deepEqual(silent, []);
    // RFC 3810 section 6.1: whoever has an IPv6 address must report the multicast group that belongs to it.
    assert.deepEqual(new Set(quiet), new Set([MLDV2_REPORT]));
    assert.ok(
      usual?.includes(ROUTER_SOLICITATION) && usual.includes(NEIGHBOR_SOLICITATION),
      'else this test hears nothing',
    );
  });

  it('has no IPv6 at all when the network has none, and no link-local address when it has', async () => {
    const [v4, v6] = [await scratch.place(), await scratch.place()];
    await scratch.tap(v4, tapRequest({ addresses: ['192.0.2.1/24'], routes: [], hostSide: true }));
    await scratch.tap(v6, tapRequest({ addresses: ['2001:db8::1/64'], routes: [], hostSide: true }));
    assert.equal(sysctl(v4.name, 'disable_ipv6'), '1');
    assert.equal(sysctl(v6.name, 'disable_ipv6'), '0');
    for (const { name } of [v4, v6]) {
      const settings = ['addr_gen_mode', 'accept_ra', 'router_solicitations'].map((key) => sysctl(name, key));
      assert.deepEqual(settings, ['1', '0', '0']);
    }
    assert.deepEqual(
      link(v6.name).addr_info?.map(({ local }) => local),
      ['2001:db8::1'],
    );
  });

  it('gets these settings again when it is adopted', async () => {
    const place = await scratch.place();
    const request = tapRequest({ addresses: ['192.0.2.1/24'], routes: [], hostSide: true });
    scratch.kernel.releaseTap(await scratch.kernel.createTap(place.namespace, request));
    run(
      'ip',
      'netns',
      'exec',
      place.name,
      'sysctl',
      '-qw',
      'net.ipv6.conf.eth0.disable_ipv6=0',
      'net.ipv6.conf.eth0.accept_ra=1',
    );
    const tap = await scratch.kernel.adoptTap(place.namespace, request);
    assert.ok(tap);
    scratch.own(tap);
    assert.deepEqual([sysctl(place.name, 'disable_ipv6'), sysctl(place.name, 'accept_ra')], ['1', '0']);
  });

  it('does not change the settings of other interfaces', async () => {
    const place = await scratch.place();
    ip(place.name, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
    const all = () =>
      run('ip', 'netns', 'exec', place.name, 'sh', '-c', 'grep . /proc/sys/net/ipv6/conf/[!e]*/* 2>/dev/null || true');
    const before = all();
    await scratch.tap(place, tapRequest({ addresses: [], routes: [], hostSide: true }));
    assert.ok(before.length > 1000);
    assert.equal(all(), before);
  });
});
