// `weft trace`: what it tells of a frame, golden, and how it refuses. That the telling is true is for test/system/trace.test.ts.
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MacTable } from '../../src/tables/mac-table.js';
import { ApiLab } from '../support/api-lab.js';
import { pcapngFile } from '../support/capture-files.js';
import { type CliOutcome, runWeft } from '../support/cli-runner.js';
import { ether, ipv4, udp } from '../support/frame-builders.js';

const WEB = '02:00:5e:00:00:01';
const DB = '02:00:5e:00:00:02';

describe('CLI: trace', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    const { controller } = lab;
    await controller.createNetwork({ name: 'back', type: 'private', subnets: ['10.81.0.0/24', 'fd00:81::/64'] });
    for (const [name, mac] of [
      ['web', WEB],
      ['db', DB],
    ] as const) {
      await controller.createCompartment({ name });
      await controller.createEndpoint({ name: `${name}-back`, network: 'back', compartment: name, mac });
    }
    await lab.listen();
  });
  afterEach(() => lab.close());

  function weft(...parameters: string[]): Promise<CliOutcome> {
    return runWeft(lab.socketPath, ['trace', ...parameters]);
  }

  it('tells stage by stage what would happen to a described frame', async () => {
    const outcome = await weft('--from', 'web-back', '--to', '10.81.0.2', '--tcp', '80', '--source-port', '40000');
    assert.deepEqual(outcome, {
      status: 0,
      stdout: [
        `from endpoint web-back: ${WEB} > ${DB}, IP 10.81.0.1.40000 > 10.81.0.2.80: Flags [S], seq 1, win 64240, length 0`,
        '',
        `parse          ${WEB} > ${DB} at port 0 (endpoint web-back) of back`,
        'ingress        untagged, MTU 1500',
        'switch         the MAC table does not know the destination: to every port of back',
        '',
        'forwarded',
        '  to endpoint db-back: IP 10.81.0.1.40000 > 10.81.0.2.80: Flags [S], seq 1, win 64240, length 0',
        '',
      ].join('\n'),
      stderr: '',
    });
  });

  it('says by which entry of the MAC table a frame goes, and learns nothing', async () => {
    const macs = new MacTable(lab.control.datapath.tables.macs, 16, 16, 1);
    macs.learn(0, 0, 0x0200, 0x5e000002, 1, 0, 100);
    const before = lab.controller.listFdb();
    const { stdout } = await weft('--from', 'web-back', '--to', 'fd00:81::2', '--udp', '53');
    assert.match(stdout, /^switch +the MAC table has it at endpoint db-back$/m);
    assert.match(stdout, /IP6 fd00:81::1\.\d+ > fd00:81::2\.53/);
    assert.deepEqual(lab.controller.listFdb(), before);
  });

  it('names the reason of a drop with its sentence, and prints one JSON document on request', async () => {
    const { status, stdout } = await weft('--from', 'web-back', '--to', '10.81.0.2', '--payload', '4000', '--json');
    assert.equal(status, 0);
    const view = JSON.parse(stdout);
    assert.deepEqual(
      { from: view.from, steps: view.steps, fate: view.fate, drop: view.drop.reason, departures: view.departures },
      {
        from: 'endpoint web-back',
        steps: [
          { stage: 'parse', says: [`${WEB} > ${DB} at port 0 (endpoint web-back) of back`] },
          { stage: 'ingress', says: ['untagged, MTU 1500'] },
        ],
        fate: 'dropped',
        drop: 'exceeds-mtu',
        departures: [],
      },
    );
  });

  it('takes TCP frames longer than the MTU for the super-frames that stacks with offloads send', async () => {
    const large = ['--from', 'web-back', '--to', '10.81.0.2', '--source-port', '40000', '--payload', '4000'];
    const packet = 'IP 10.81.0.1.40000 > 10.81.0.2.80: Flags [.], seq 1:4001, ack 0, win 64240, length 4000';
    const { stdout } = await weft(...large, '--tcp', '80', '--flags', 'A');
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      `from endpoint web-back: ${WEB} > ${DB}, ${packet}`,
      '',
      'sender         longer than the MTU: a super-frame that stands for segments of 1460 bytes',
      `parse          ${WEB} > ${DB} at port 0 (endpoint web-back) of back`,
      'ingress        untagged, MTU 1500',
      'switch         the MAC table does not know the destination: to every port of back',
      '',
      'forwarded',
      `  to endpoint db-back: ${packet}`,
    ]);
    assert.match((await weft(...large, '--udp', '80')).stdout, /^dropped: exceeds-mtu\./m);
  });

  it('says that a station must be asked for that weft does not know', async () => {
    const { stdout } = await weft('--from', 'web-back', '--to', '10.81.0.99');
    assert.match(stdout, /^sender +weft knows no station with 10\.81\.0\.99: the sender would ask for its MAC/m);
  });

  it('takes a frame out of a capture, from the endpoint that it came in at', async () => {
    const frame = ether({ from: WEB, to: DB }, ipv4({ from: '10.81.0.1', to: '10.81.0.2' }, udp(4000, 9, 'hello')));
    const file = join(lab.directory, 'web.pcapng');
    writeFileSync(file, pcapngFile(['web-back'], [{ bytes: frame.bytes }, { bytes: frame.bytes }]));
    const { stdout } = await weft('--capture', file, '--frame', '2');
    assert.match(stdout, /^from endpoint web-back: .*IP 10\.81\.0\.1\.4000 > 10\.81\.0\.2\.9: UDP, length 5$/m);
    assert.deepEqual(await weft('--capture', file, '--frame', '3'), {
      status: 1,
      stdout: '',
      stderr: `error: cannot trace frame 3 of ${file} (it has 2 frames; weft capture read FILE shows them)\n`,
    });
  });

  it('takes no frame for one of the endpoint that it went out to', async () => {
    const frame = ether({ from: DB, to: WEB }, ipv4({ from: '10.81.0.2', to: '10.81.0.1' }, udp(9, 4000, 'hello')));
    const file = join(lab.directory, 'out.pcapng');
    writeFileSync(file, pcapngFile(['web-back'], [{ bytes: frame.bytes, direction: 'out' }]));
    const why = `frame 1 of ${file} went out to web-back, it did not come in there`;
    assert.deepEqual(await weft('--capture', file, '--frame', '1'), {
      status: 1,
      stdout: '',
      stderr: `error: cannot trace the frame (${why}; give --from ENDPOINT, or another --frame)\n`,
    });
    const { stdout } = await weft('--capture', file, '--frame', '1', '--from', 'db-back');
    assert.match(stdout, /^from endpoint db-back: /);
  });

  it('refuses what does not say enough, with a remedy', async () => {
    const refusals = [];
    for (const parameters of [
      ['--to', '10.81.0.2'],
      ['--from', 'web-back'],
      ['--from', 'nobody', '--to', '10.81.0.2'],
      ['--from', 'web-back', '--to', '192.0.2.1'],
      ['--from', 'web-back', '--to', 'somewhere'],
      ['--from', 'web-back', '--to', '10.81.0.2', '--tcp', '80', '--flags', 'SX'],
      ['--from-uplink', 'back', '--to', '10.81.0.2'],
      ['--from-vtep', '192.0.2.8', '--to', '10.81.0.2'],
      ['--from-vtep', '192.0.2.8', '--network', 'back', '--to', '10.81.0.2'],
    ]) {
      const { status, stderr } = await weft(...parameters);
      refusals.push([status, stderr.trim()]);
    }
    assert.deepEqual(refusals, [
      [
        1,
        'error: cannot trace the frame (nothing says where it comes from; give --from, --from-uplink or --from-vtep)',
      ],
      [1, 'error: cannot trace the frame (nothing says where it goes; give --to, or --capture with --frame)'],
      [1, 'error: cannot trace the frame (there is no endpoint nobody; `weft endpoint list` shows them)'],
      [
        1,
        'error: cannot trace the frame (network back has no gateway that leads to other networks; trace to an address of its subnets)',
      ],
      [1, 'error: cannot trace the frame (to: "somewhere" is no IP address; give an address)'],
      [1, 'error: cannot trace the frame ("X" is no TCP flag; the flags are F S R P A . U E W)'],
      [
        1,
        'error: cannot trace the frame (network back is of type private, and has no uplink; weft network show back tells more)',
      ],
      [1, 'error: cannot trace the frame (fromVtep needs the network whose tunnel it is; give network)'],
      [
        1,
        'error: cannot trace the frame (network back is of type private, which has no tunnel; weft network show back tells more)',
      ],
    ]);
  });
});

describe('CLI: trace of overlay networks', () => {
  const NETNS = '/run/netns/underlay';
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    const { controller } = lab;
    const { machine } = lab.control;
    const nic = machine.addInterface(machine.addNamespace(NETNS), 'nic');
    nic.addresses.push('192.0.2.1/24');
    nic.mtu = 1500;
    const overlay = { vni: 4711, vtep: '192.0.2.1', underlayNetns: NETNS, peers: ['192.0.2.8'] };
    await controller.createNetwork({ name: 'blue', type: 'overlay', subnets: ['10.90.0.0/24'], overlay });
    await controller.createCompartment({ name: 'web' });
    const web = { name: 'web-blue', network: 'blue', compartment: 'web', ip: ['10.90.0.10'], mac: WEB };
    await controller.createEndpoint(web);
    await controller.createEndpoint({ name: 'far', network: 'blue', vtep: '192.0.2.9', ip: ['10.90.0.20'], mac: DB });
    await lab.listen();
  });
  afterEach(() => lab.close());

  const weft = (...parameters: string[]) => runWeft(lab.socketPath, ['trace', ...parameters]);
  const lines = (text: string) => text.trimEnd().split('\n');

  it('follows a frame into the tunnel: who said where the station is, and what is around the frame', async () => {
    const packet = 'IP 10.90.0.10.40000 > 10.90.0.20.53: UDP, length 0';
    const known = ['--from', 'web-blue', '--to', '10.90.0.20', '--udp', '53', '--source-port', '40000'];
    assert.deepEqual(lines((await weft(...known)).stdout), [
      `from endpoint web-blue: ${WEB} > ${DB}, ${packet}`,
      '',
      `parse          ${WEB} > ${DB} at port ${portOf('web-blue')} (endpoint web-blue) of blue`,
      'ingress        untagged, MTU 1450',
      'switch         the MAC table has it behind VTEP 192.0.2.9 (static)',
      'encapsulate    VNI 4711, UDP a port of the flow of 192.0.2.1 > 192.0.2.9 port 4789, 42 bytes inside',
      '',
      'forwarded',
      `  to VTEP 192.0.2.9: VXLAN, vni 4711: ${packet}`,
    ]);
  });

  it('shows every VTEP that gets a copy of what floods', async () => {
    const { stdout } = await weft('--from', 'web-blue', '--to', '10.90.0.99');
    assert.match(stdout, /^switch +broadcast or multicast: to every port of blue, and the gateway looks at it$/m);
    assert.match(
      stdout,
      /^ {2}to VTEP 192\.0\.2\.8: VXLAN, vni 4711: IP 10\.90\.0\.10 > 10\.90\.0\.99: ICMP echo request/m,
    );
  });

  it('takes the MAC of a station of which only that is known', async () => {
    const { stdout } = await weft('--from', 'web-blue', '--to', '10.90.0.99', '--to-mac', DB);
    assert.match(stdout, /^switch +the MAC table has it behind VTEP 192\.0\.2\.9 \(static\)$/m);
    assert.doesNotMatch(stdout, /^sender/m);
  });

  it('says that the gateway answers itself', async () => {
    const { stdout } = await weft('--from', 'web-blue', '--to', '10.90.0.1');
    assert.match(stdout, /^gateway +for the gateway itself, which answers$/m);
    assert.match(stdout, /^ {2}to endpoint web-blue: IP 10\.90\.0\.1 > 10\.90\.0\.10: ICMP echo reply/m);
  });

  it('follows a frame out of the tunnel, as another VTEP sends it', async () => {
    const packet = 'IP 10.90.0.20.53 > 10.90.0.10.40000: UDP, length 0';
    const inside = ['--source', '10.90.0.20', '--to', '10.90.0.10', '--udp', '40000', '--source-port', '53'];
    const { stdout } = await weft('--from-vtep', '192.0.2.9', '--network', 'blue', ...inside);
    assert.deepEqual(lines(stdout), [
      `from VTEP 192.0.2.9 through the tunnel of blue: ${DB} > ${WEB}, ${packet}`,
      '',
      'decapsulate    VNI 4711 is blue: out of the tunnel, from VTEP 192.0.2.9',
      `parse          ${DB} > ${WEB} at port ${portOf('tunnel/blue')} (the tunnel of blue) of blue`,
      'ingress        untagged, MTU 1450',
      'switch         the MAC table does not know the destination: to every port of blue',
      '',
      'forwarded',
      `  to endpoint web-blue: ${packet}`,
    ]);
  });

  it('names why a datagram does not become a frame', async () => {
    await lab.controller.patchNetwork('blue', { overlay: { peersClosed: true } });
    const inside = ['--source', '10.90.0.20', '--to', '10.90.0.10'];
    const { stdout } = await weft('--from-vtep', '192.0.2.77', '--network', 'blue', ...inside);
    const told = lines(stdout);
    assert.match(told.pop()!, /^dropped: vxlan-unknown-vtep\. The sending VTEP is not among the peers/);
    assert.deepEqual(told.slice(1), ['', 'decapsulate    dropped here', '']);
  });

  function portOf(name: string): number {
    const port = lab.control.captures.ports.find(({ endpoint, ifname }) => endpoint === name || ifname === name);
    assert.ok(port !== undefined, `${name} has a port`);
    return port.port;
  }
});
