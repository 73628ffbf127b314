/** weft port, and the options of nat networks, as a user types them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';

describe('CLI: nat networks and published ports', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.listen();
  });

  afterEach(() => lab.close());

  async function weft(line: string): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.deepEqual([outcome.status, outcome.stderr], [0, ''], line);
    return outcome.stdout;
  }

  async function fails(line: string, status: number, pattern: RegExp): Promise<void> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.deepEqual([outcome.status, outcome.stdout], [status, ''], line);
    assert.match(outcome.stderr, pattern);
  }

  const front = '--type nat --subnet 10.80.0.0/24 --subnet fd00:80::/64';

  it('every setting of a nat network has an option', async () => {
    await weft('network create back --type internal --subnet 10.81.0.0/24');
    assert.equal(
      await weft(
        `network create front ${front} --uplink host --external-ip 192.0.2.1,192.0.2.2 --no-masquerade --ipv6 nptv6 ` +
          '--prefix 2001:db8::/64 --mapping address-and-port-dependent --filtering endpoint-independent --flow-limit 9 ' +
          '--ports 2000-2999 --exception 10.0.0.0/8 --exception 198.51.100.7 --destination 203.0.113.0/24 ' +
          '--static 10.80.0.9=192.0.2.9 --no-hairpin --tcp-established 1 --tcp-transitory 2 --tcp-syn 3 --udp-timeout 4 ' +
          '--icmp-timeout 5 --routes-to back --advertise --lease-time 60 --domain lab --forwarder 192.0.2.53#5353',
      ),
      'network front created: nat, 10.80.0.0/24, fd00:80::/64, uplink host, MTU 1500\n',
    );
    const { externalIp, masquerade, nat, routesTo, advertise, dhcp, dns } = lab.controller.getNetwork('front');
    assert.deepEqual(
      [externalIp, masquerade, routesTo, advertise],
      [['192.0.2.1', '192.0.2.2'], false, ['back'], true],
    );
    assert.deepEqual(nat, {
      mapping: 'address-and-port-dependent',
      filtering: 'endpoint-independent',
      ipv6: 'nptv6',
      prefix: '2001:db8::/64',
      timers: { tcpEstablished: 1, tcpTransitory: 2, tcpSyn: 3, udp: 4, icmp: 5 },
      flowLimit: 9,
      ports: { first: 2000, last: 2999 },
      exceptions: ['10.0.0.0/8', '198.51.100.7/32'],
      destinations: ['203.0.113.0/24'],
      static: [{ inside: '10.80.0.9', external: '192.0.2.9' }],
      hairpin: false,
    });
    assert.deepEqual(dhcp, { enabled: true, leaseSeconds: 60, routes: [] });
    assert.deepEqual(dns, { enabled: true, domain: 'lab', forwarders: ['192.0.2.53#5353'] });
    await weft(
      'network set front --hairpin --no-exception --no-static --no-routes-to --no-forwarder --no-dhcp --no-advertise ' +
        '--destination 192.0.2.128/25 --udp-timeout 40',
    );
    const after = lab.controller.getNetwork('front');
    assert.deepEqual(after.nat, {
      ...nat,
      timers: { ...nat?.timers, udp: 40 },
      exceptions: [],
      destinations: ['192.0.2.128/25'],
      static: [],
      hairpin: true,
    });
    assert.deepEqual(
      [after.routesTo, after.advertise, after.dhcp?.enabled, after.dns],
      [[], false, false, { enabled: true, domain: 'lab', forwarders: [] }],
    );
  });

  it('show says how a network reaches the outside', async () => {
    await weft(`network create front ${front} --static 10.80.0.9=192.0.2.9`);
    const text = await weft('network show front');
    assert.match(text, /^Uplink: {11}host, masqueraded there$/m);
    assert.match(text, /^External: {9}100\.\d+\.\d+\.\d+$/m);
    assert.match(text, /^Mapping: {10}endpoint-independent$/m);
    assert.match(text, /^IPv6: {13}nat66$/m);
    assert.match(text, /^Ports: {12}1024-65535, 65536 flows per address$/m);
    assert.match(text, /^Idle timers: {6}TCP 7440 s \(240 s opening or closing, SYN 6 s\), UDP 300 s, ICMP 60 s$/m);
    assert.match(text, /^Static: {11}10\.80\.0\.9 = 192\.0\.2\.9$/m);
    assert.match(text, /^DHCP: {13}leases of 3600 s$/m);
    assert.match(text, /^DNS: {14}front\.weft, the rest from the host's resolvers$/m);
    await weft('network create p --type private');
    assert.doesNotMatch(await weft('network show p'), /Uplink|NAT|DHCP/);
  });

  it('says what is wrong with a network', async () => {
    await fails(
      'network create n --type nat',
      1,
      /^error: cannot create network n \(subnets: a nat network needs at least/,
    );
    await fails(
      `network create n ${front} --uplink wan`,
      1,
      /uplink: "wan" is no uplink: one of host, raw, none, nic:/,
    );
    await fails(`network create n ${front} --ports 80`, 2, /a range is wanted, e\.g\. 1024-65535/);
    await fails(
      `network create n ${front} --static 10.80.0.9`,
      2,
      /a pair is wanted, e\.g\. 10\.80\.0\.10=192\.0\.2\.10/,
    );
    await fails(`network create n ${front} --mapping cone`, 2, /Allowed choices are endpoint-independent/);
    await fails(`network create n ${front} --routes-to m`, 1, /there is no network m/);
    await fails('network create n --type private --uplink host', 1, /uplink: it is only for networks of type nat/);
  });

  it('ports are published, listed and taken back', async () => {
    await weft(`network create front ${front}`);
    await weft('endpoint create web --network front --publish 8080:80 --alias www,cdn');
    await weft('endpoint create db --network front');
    assert.equal(
      await weft('port publish db 192.0.2.1:8000-8009:9000/udp [2001:db8::1]:53:53/udp'),
      'published 192.0.2.1:8000-8009:9000/udp of endpoint db\npublished [2001:db8::1]:53:53/udp of endpoint db\n',
    );
    assert.equal(
      await weft('port list'),
      [
        'HOST ADDRESS  HOST PORT  PROTOCOL       PORT  ENDPOINT  NETWORK  ADDRESSES',
        '192.0.2.1     8000-8009  udp       9000-9009  db        front    10.80.0.3 fd00:80::3',
        '2001:db8::1          53  udp              53  db        front    10.80.0.3 fd00:80::3',
        'all                8080  tcp              80  web       front    10.80.0.2 fd00:80::2',
        '',
      ].join('\n'),
    );
    assert.equal(JSON.parse(await weft('port ls --endpoint web --json')).length, 1);
    await fails(
      'port publish db 8080:1',
      1,
      /^error: cannot publish 8080:1 of endpoint db \(8080:1\/tcp is taken: endpoint web/,
    );
    await fails('port publish db 8080', 1, /that is no published port; write it as \[HOSTIP:\]HOSTPORT/);
    assert.equal(await weft('port unpublish 8080:80'), 'unpublished 8080:80/tcp of endpoint web\n');
    assert.equal(
      await weft('port unpublish db [2001:db8::1]:53:53/udp'),
      'unpublished [2001:db8::1]:53:53/udp of endpoint db\n',
    );
    assert.equal(await weft('port unpublish db'), 'unpublished 192.0.2.1:8000-8009:9000/udp of endpoint db\n');
    await fails('port unpublish db', 1, /endpoint db publishes no port; `weft port list` shows what is/);
    assert.match(await weft('port list'), /^no published ports; publish one: weft port publish /);
    assert.match(await weft('endpoint show web'), /^Settings: {5}alias www\n {14}alias cdn$/m);
  });

  it('lab files may spell routes-to as the option is spelled', async () => {
    const file = join(lab.directory, 'lab.yaml');
    const networks = 'front: { type: nat, subnets: [10.80.0.0/24], routes-to: [back] }';
    writeFileSync(file, `weft: 1\nnetworks:\n  ${networks}\n  back: { type: internal, subnets: [10.81.0.0/24] }\n`);
    await weft(`apply -f ${file}`);
    assert.deepEqual(lab.controller.getNetwork('front').routesTo, ['back']);
    writeFileSync(
      file,
      'weft: 1\nnetworks: { n: { type: nat, subnets: [10.82.0.0/24], routesTo: [], routes-to: [] } }\n',
    );
    await fails(`apply -f ${file}`, 1, /routes-to: is unknown/);
  });
});
