// DHCP with real clients in compartments that configure themselves: leases, renewals, restarts of the daemon, other networks.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as dhcp4 from '../../src/wire/dhcp4.js';
import { writeUdpFrame } from '../../src/wire/udp-frame.js';
import { sendFrames } from '../support/system-frames.js';
import { type Subnet, useLab } from '../support/system-lab.js';
import { type Background, waitFor } from '../support/system-process.js';

/** Short enough to see a renewal, which comes after half of it. */
const LEASE_SECONDS = 10;
const FLOOD_FRAMES = 2000;
/** What the queue of a TAP holds for sure: what overflows it is lost in the kernel and never reaches weft. */
const FRAMES_AT_ONCE = 250;

/** What udhcpc calls: says what happened, and configures the interface like any such script. */
const UDHCPC_SCRIPT = `#!/bin/sh
echo "$1 $(env | grep -E '^(ip|mask|router|dns|domain|search|mtu|lease|serverid|hostname)=' | sort | tr '\\n' ' ')"
if [ "$1" = bound ]; then
  ip address replace "$ip/$mask" dev "$interface"
  ip route replace default via "$router"
fi
`;

/** The same for dhclient. */
const DHCLIENT_SCRIPT = `#!/bin/sh
echo "$reason $(env | grep -E '^new_' | sort | tr '\\n' ' ')"
case $reason in BOUND | REBOOT) ip address replace "$new_ip_address/24" dev "$interface" ;; esac
`;

const DHCLIENT_SETTINGS = `
option classless-routes code 121 = array of unsigned integer 8;
request subnet-mask, routers, domain-name, domain-name-servers, domain-search, host-name, interface-mtu, classless-routes;
also request dhcp6.name-servers, dhcp6.domain-search;
timeout 20;
`;

describe('DHCP', function dhcp() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let subnet: Subnet;
  let files: { udhcpc: string; dhclient: string; settings: string; program: string };

  before(async () => {
    const write = (name: string, text: string): string => {
      const path = join(lab.directory, name);
      writeFileSync(path, text);
      chmodSync(path, 0o755);
      return path;
    };
    files = {
      udhcpc: write('udhcpc.sh', UDHCPC_SCRIPT),
      dhclient: write('dhclient.sh', DHCLIENT_SCRIPT),
      settings: write('dhclient.conf', DHCLIENT_SETTINGS),
      // A copy: where AppArmor confines the program of the system, that may not read the files of a test.
      program: join(lab.directory, 'dhclient'),
    };
    copyFileSync('/sbin/dhclient', files.program);
    subnet = lab.subnet();
    await addNetwork('front', subnet, { leaseSeconds: LEASE_SECONDS });
  });

  async function addNetwork(base: string, { v4, v6 }: Subnet, settings: object): Promise<void> {
    const subnets = [`${v4}.0/24`, `${v6}::/64`];
    const network = { name: lab.name(base), type: 'nat', uplink: 'none', mtu: 1400, subnets, dhcp: settings };
    await daemon.call('POST', '/v1/networks', network);
  }

  /** A compartment whose only interface asks for its address. */
  async function addClient(base: string, network = 'front'): Promise<string[]> {
    await daemon.ok('compartment', 'create', lab.name(base));
    const where = ['--network', lab.name(network), '--compartment', lab.name(base)];
    await daemon.ok('endpoint', 'create', lab.name(`${base}-nic`), ...where, '--no-configure');
    return (await daemon.call('GET', `/v1/endpoints/${lab.name(`${base}-nic`)}`)).ip;
  }

  /** IPv4 addresses and global IPv6 ones. */
  async function addresses(base: string): Promise<string[]> {
    const [link] = await lab.links(base);
    return (link?.addresses ?? []).filter((text) => !text.startsWith('fe80'));
  }

  function udhcpc(base: string, ...options: string[]): Background {
    return lab.background(base, ['udhcpc', '-f', '-i', 'eth0', '-s', files.udhcpc, '-T', '1', '-A', '1', ...options]);
  }

  function dhclient(leases: string, ...options: string[]): string[] {
    const state = ['-lf', join(lab.directory, leases), '-pf', join(lab.directory, `${leases}.pid`)];
    // In the foreground it would go on; in the background it returns with the lease.
    return [files.program, '-1', '-cf', files.settings, '-sf', files.dhclient, ...state, ...options, 'eth0'];
  }

  /** Counts of one network. */
  async function counts(network = 'front'): Promise<Record<string, number>> {
    const { dhcp: rows } = await daemon.call('GET', '/v1/stats');
    const own = rows.filter((row: { network: string }) => row.network === lab.name(network));
    return Object.fromEntries(own.map(({ what, count }: { what: string; count: number }) => [what, count]));
  }

  function timesOf(client: Background, event: string): number {
    return client.stdout.split('\n').filter((line) => line.startsWith(`${event} `)).length;
  }

  it('gives udhcpc the address of its endpoint, renews it, and goes on after the daemon was killed and restarted', async () => {
    const [address] = await addClient('web');
    assert.deepEqual(await addresses('web'), [], 'up, and without an address');
    const client = udhcpc('web', '-O', 'search', '-O', 'mtu', '-O', 'hostname');
    await waitFor('a lease', () => timesOf(client, 'bound') === 1 && addresses('web').then((all) => all.length > 0));
    assert.deepEqual(await addresses('web'), [`${address}/24`]);
    const bound = client.stdout.split('\n').find((line) => line.startsWith('bound '));
    const gateway = `${subnet.v4}.1`;
    const [domain, hostname] = [`${lab.name('front')}.weft`, lab.name('web-nic')];
    const said = [`dns=${gateway}`, `domain=${domain}`, `hostname=${hostname}`, `ip=${address}`, 'lease=10', 'mask=24'];
    const more = ['mtu=1400', `router=${gateway}`, `search=${domain}`, `serverid=${gateway}`];
    assert.equal(bound?.trim(), `bound ${[...said, ...more].join(' ')}`);
    assert.ok(await lab.pings('web', gateway));

    await waitFor('a renewal', () => timesOf(client, 'renew') >= 1, 30_000);
    for (const end of [() => daemon.kill(), () => daemon.terminate()]) {
      await end();
      await daemon.start();
      assert.deepEqual(await addresses('web'), [`${address}/24`], 'what the client set stays');
      const before = timesOf(client, 'renew');
      // To udhcpc: renew now.
      client.child.kill('SIGUSR1');
      await waitFor('a renewal by the next daemon', () => timesOf(client, 'renew') > before, 30_000);
    }
    assert.ok(await lab.pings('web', gateway));
    assert.equal(timesOf(client, 'bound'), 1, 'the lease was never lost');
    await client.stop();
  });

  it('gives dhclient routes and search list, takes its lease back, and knows it again', async () => {
    const [here, there] = [lab.subnet(), lab.subnet()];
    const via = `${here.v4}.9`;
    await addNetwork('routed', here, { routes: [{ destination: '203.0.113.0/24', via }] });
    await addNetwork('other', there, {});
    const [address] = await addClient('db', 'routed');
    const leases = 'db.leases';
    const first = await lab.inside('db', dhclient(leases));
    const bound = first.split('\n').find((line) => line.startsWith('BOUND ')) ?? '';
    const dotted = (text: string) => text.replaceAll('.', ' ');
    for (const said of [
      `new_ip_address=${address} `,
      `new_classless_routes=24 203 0 113 ${dotted(via)} 0 ${dotted(`${here.v4}.1`)} `,
      `new_domain_search=${lab.name('routed')}.weft. `,
      'new_interface_mtu=1400 ',
      'new_dhcp_lease_time=3600 ',
    ]) {
      assert.ok(bound.includes(said), `${said}: ${first}`);
    }
    assert.ok(!bound.includes('new_routers'), 'the default route is among the others (RFC 3442)');

    // Started again, it asks for what it had (INIT-REBOOT).
    await lab.inside('db', ['sh', '-c', `kill $(cat ${join(lab.directory, `${leases}.pid`)})`]);
    const again = await lab.inside('db', dhclient(leases));
    assert.match(again, /^REBOOT .*new_ip_address/m);
    assert.deepEqual(await counts('routed'), { discover: 1, offer: 1, request: 2, ack: 2 });

    // Moved to another network it is refused what it had, and gets what it has there.
    await lab.inside('db', ['sh', '-c', `kill $(cat ${join(lab.directory, `${leases}.pid`)})`]);
    const [elsewhere] = await addClient('moved', 'other');
    const third = await lab.inside('moved', dhclient(leases));
    assert.match(third, new RegExp(`^BOUND .*new_ip_address=${elsewhere} `, 'm'));
    assert.deepEqual(await counts('other'), { discover: 1, offer: 1, request: 2, nak: 1, ack: 1 });

    await lab.inside('moved', dhclient(leases, '-r'));
    await waitFor('the release', async () => (await counts('other')).release === 1);
  });

  it('tells dhclient resolver and search list over DHCPv6', async () => {
    await addClient('six');
    const tentative = () => lab.inside('six', ['ip', '-6', 'address', 'show', 'tentative']);
    await waitFor('the link-local address to be ready', async () => (await tentative()) === '');
    const printed = await lab.inside('six', dhclient('six.leases', '-6', '-S'));
    assert.match(printed, new RegExp(`new_dhcp6_domain_search=${lab.name('front')}.weft. `));
    assert.match(printed, new RegExp(`new_dhcp6_name_servers=${subnet.v6}::1 `));
    const { 'information-request': asked, reply } = await counts();
    assert.ok(asked! >= 1 && reply! >= 1);
    await lab.inside('six', ['sh', '-c', `kill $(cat ${join(lab.directory, 'six.leases.pid')})`]);
  });

  it('gives dhclient the IPv6 address of its endpoint', async () => {
    const ip = await addClient('stateful');
    const address = ip.find((text) => text.includes(':'));
    const tentative = () => lab.inside('stateful', ['ip', '-6', 'address', 'show', 'tentative']);
    await waitFor('the link-local address to be ready', async () => (await tentative()) === '');
    const printed = await lab.inside('stateful', dhclient('stateful.leases', '-6'));
    assert.match(printed, new RegExp(`^BOUND6 .*new_ip6_address=${address} `, 'm'));
    await lab.inside('stateful', dhclient('stateful.leases', '-6', '-r'));
    await waitFor('the release', async () => (await counts()).release6 === 1);
  });

  it('serves others while one endpoint asks for thousands of leases, and gives it none', async () => {
    await addClient('greedy');
    const [address] = await addClient('modest');
    const before = (await counts()).offer ?? 0;
    const flood = Array.from({ length: FLOOD_FRAMES }, (_, i) => discoverOf(i));
    const flooding = async () => {
      for (let at = 0; at < FLOOD_FRAMES; at += FRAMES_AT_ONCE) {
        await sendFrames(lab, 'greedy', 'eth0', flood.slice(at, at + FRAMES_AT_ONCE));
      }
    };
    const flooded = flooding();
    const client = udhcpc('modest');
    await waitFor('a lease', () => timesOf(client, 'bound') === 1);
    assert.ok(client.stdout.includes(`ip=${address} `));
    await flooded;
    await client.stop();
    const { offer, 'foreign-mac': foreign } = await counts();
    const drops = await daemon.call('GET', '/v1/drops');
    const { endpoints } = drops.find(({ reason }: { reason: string }) => reason === 'service-limit');
    assert.deepEqual(
      endpoints.map(({ endpoint }: { endpoint: string }) => endpoint),
      [lab.name('greedy-nic')],
    );
    const dropped: number = endpoints[0].frames;
    assert.equal(foreign! + dropped, FLOOD_FRAMES, 'each is dropped by name or left alone by name');
    assert.ok(dropped > FLOOD_FRAMES / 2, `${dropped} dropped`);
    // An answer that is late is asked for again after a second (-T 1).
    const asked = client.stderr.split('\n').filter((line) => line.includes('broadcasting discover')).length;
    assert.ok(
      asked >= 1 && offer! > before && offer! <= before + asked,
      `${offer! - before} offers, ${asked} questions`,
    );
  });

  /** A DHCPDISCOVER of a MAC of its own. */
  function discoverOf(n: number): Uint8Array {
    const hardware = Uint8Array.of(2, 0xaa, 0, 0, n >> 8, n & 255);
    const options = new Map([[dhcp4.OPTION.messageType, Uint8Array.of(dhcp4.DISCOVER)]]);
    const message = { operation: dhcp4.REQUEST, transaction: n, wantsBroadcast: true, hardware, options };
    const payload = dhcp4.writeDhcp4({ ...message, clientAddress: 0, yourAddress: 0, relayAddress: 0 }, 576);
    const all = new Uint8Array(6).fill(255);
    return writeUdpFrame({
      ...{ family: 4, sourceMac: hardware, destinationMac: all, payload },
      ...{ source: new Uint8Array(4), destination: new Uint8Array(4).fill(255), sourcePort: 68, destinationPort: 67 },
    });
  }
});
