/** Every command as a user types it, against a real server over the real controller: what it prints, and what it does. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApiLab, eventually } from '../support/api-lab.js';
import { type RunnerOptions, runWeft, startWeft } from '../support/cli-runner.js';

const ESCAPE = '\u001b';

describe('CLI: commands', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.listen();
  });

  afterEach(() => lab.close());

  async function weft(line: string, options: RunnerOptions = {}): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '), options);
    assert.deepEqual([outcome.status, outcome.stderr], [0, ''], line);
    return outcome.stdout;
  }

  async function populate(): Promise<void> {
    await weft('network create back --type private --subnet 10.81.0.0/24 --subnet fd00:81::/64');
    await weft('compartment create web');
    await weft('endpoint create web-back --network back --compartment web --ip 10.81.0.10 --mac 02:00:00:00:00:01');
  }

  it('create says in a sentence what there is now', async () => {
    assert.equal(
      await weft('network create front --type internal --subnet 10.80.0.0/24 --mtu 9000'),
      'network front created: internal, 10.80.0.0/24, host interface weft-front, MTU 9000\n',
    );
    assert.equal(await weft('compartment add web'), 'compartment web created: new namespace /run/netns/web\n');
    assert.equal(
      await weft('endpoint create web-front --network front --compartment web --ip 10.80.0.10 --mac 02:00:00:00:00:01'),
      'endpoint web-front created: eth0 in web, 10.80.0.10/24, 02:00:00:00:00:01, network front\n',
    );
    assert.equal(
      await weft('endpoint detach web-front'),
      'endpoint web-front detached; 10.80.0.10/24 stays reserved\n',
    );
    assert.equal(
      await weft('endpoint attach web-front --compartment web'),
      'endpoint web-front attached: eth0 in web, 10.80.0.10/24, 02:00:00:00:00:01, network front\n',
    );
    assert.equal(await weft('endpoint rm web-front'), 'endpoint web-front deleted\n');
    assert.equal(await weft('compartment delete web'), 'compartment web deleted\n');
    assert.equal(await weft('network rm front'), 'network front deleted\n');
  });

  it('lists are tables; empty ones say how to begin', async () => {
    assert.match(await weft('network list'), /^no networks; make one: weft network create /);
    assert.match(await weft('endpoint list'), /^no endpoints; /);
    await populate();
    assert.equal(
      await weft('network ls'),
      [
        'NAME  TYPE     SUBNETS                     GATEWAY   MTU  ENDPOINTS  ADDRESSES USED  HOST INTERFACE',
        'back  private  10.81.0.0/24 fd00:81::/64  -        1500          1               2  -',
        '',
      ]
        .join('\n')
        .replace('SUBNETS                     ', 'SUBNETS                    '),
    );
    assert.equal(
      await weft('compartment ls'),
      'NAME  STATE  NAMESPACE       OWNER  ENDPOINTS\nweb   ready  /run/netns/web  weft   web-back\n',
    );
    assert.equal(
      await weft('endpoint ls'),
      [
        'NAME      NETWORK  COMPARTMENT  INTERFACE  ADDRESSES                     MAC                STATE',
        'web-back  back     web          eth0       10.81.0.10/24 fd00:81::1/64  02:00:00:00:00:01  attached',
        '',
      ]
        .join('\n')
        .replace('ADDRESSES                     MAC', 'ADDRESSES                    MAC'),
    );
  });

  it('show tells everything about one object', async () => {
    await populate();
    const text = await weft('endpoint inspect web-back');
    assert.match(text, /^Name: {9}web-back\nState: {8}attached\nNetwork: {6}back\n/);
    assert.match(text, /^Addresses: {4}10\.81\.0\.10\/24\n {14}fd00:81::1\/64$/m);
    assert.match(text, /^VLAN: {9}every VLAN$/m);
    assert.match(await weft('network show back'), /^MAC ageing: {7}300 s, 131072 MACs at most$/m);
    assert.match(await weft('compartment show web'), /^Owner: {6}weft made it/m);
  });

  it('every setting of a network has an option', async () => {
    const options =
      '--gateway 10.81.0.1 --pool 10.81.0.100-10.81.0.200 --reserve 10.81.0.150 --mtu 1400 --ageing 60 --control-frames filter ' +
      '--mac-limit 100 --storm-broadcast 1 --storm-multicast 2 --storm-unknown 3';
    await weft(`network create back --type private --subnet 10.81.0.0/24 ${options}`);
    const { id, endpoints, addresses, ...spec } = lab.controller.getNetwork('back');
    assert.deepEqual(spec, {
      name: 'back',
      type: 'private',
      subnets: ['10.81.0.0/24'],
      gateway: ['10.81.0.1'],
      pools: ['10.81.0.100-10.81.0.200'],
      reserved: ['10.81.0.150'],
      mtu: 1400,
      ageingSeconds: 60,
      controlFrames: 'filter',
      storm: { broadcast: 1, multicast: 2, unknownUnicast: 3 },
      macLimit: 100,
      uplink: null,
      uplinkNetns: null,
      externalIp: [],
      nextHop: [],
      masquerade: false,
      nat: null,
      overlay: null,
      tunnel: null,
      gatewayMac: null,
      routerMac: null,
      hostAddresses: [],
      routesTo: [],
      advertise: false,
      dhcp: null,
      dns: null,
      hostInterface: null,
      outside: null,
    });
    await weft('network set back --storm-broadcast 0 --ageing 300 --control-frames pass --mac-limit 7');
    const { storm, ageingSeconds, controlFrames, macLimit } = lab.controller.getNetwork('back');
    assert.deepEqual(
      [storm.broadcast, storm.multicast, ageingSeconds, controlFrames, macLimit],
      [0, 2, 300, 'pass', 7],
    );
  });

  it('every setting of an endpoint has an option', async () => {
    await populate();
    await weft(
      'endpoint create e --network back --compartment web --ip 10.81.0.20 --ip fd00:81::20 --ifname lan0 --no-default-route ' +
        '--isolated --no-offload --static-mac 02:00:00:00:00:07,02:00:00:00:00:08 --trunk 10,20-22 --native-vlan 5',
    );
    const { ip, ifname, defaultRoute, isolated, offload, staticMacs, vlan } = lab.controller.getEndpoint('e');
    assert.deepEqual(
      { ip, ifname, defaultRoute, isolated, offload, staticMacs, vlan },
      {
        ip: ['10.81.0.20', 'fd00:81::20'],
        ifname: 'lan0',
        defaultRoute: false,
        isolated: true,
        offload: false,
        staticMacs: ['02:00:00:00:00:07', '02:00:00:00:00:08'],
        vlan: { mode: 'trunk', native: 5, allowed: [10, 20, 21, 22] },
      },
    );
    assert.equal(
      await weft('endpoint set e --trunk 30,10-12 --no-isolated --no-static-mac'),
      'endpoint e changed: trunk, VLANs 10-12,30, no offload, no default route\n',
    );
    assert.match(await weft('endpoint set e --trunk all'), /: trunk, all VLANs, /);
    assert.match(await weft('endpoint set e --vlan 20'), /: access VLAN 20, /);
    assert.match(
      await weft('endpoint set e --vlan none --static-mac 02:00:00:00:00:09'),
      /: every VLAN, .*static 02:00:00:00:00:09/,
    );
  });

  it('--json prints exactly one document, before or after the noun', async () => {
    await populate();
    for (const line of ['--json network list', 'network list --json', 'network --json list']) {
      assert.deepEqual(JSON.parse(await weft(line)), JSON.parse(JSON.stringify(lab.controller.listNetworks())), line);
    }
    const lines = [
      ...[
        'network show back',
        'compartment ls',
        'endpoint show web-back',
        'fdb list',
        'vtep list',
        'flow list',
        'drop list',
        'stats',
      ],
      ...['events', 'export', 'status', 'version', 'doctor', 'capture list', 'fdb flush', 'completion bash'],
      ...['endpoint detach web-back', 'endpoint delete web-back', 'compartment delete web', 'network delete back'],
    ];
    for (const line of lines.slice(0, 15)) JSON.parse(await weft(`--json ${line}`));
    for (const line of lines) JSON.parse(await weft(`${line} --json`));
  });

  it('--socket goes before WEFT_SOCKET, wherever it stands', async () => {
    for (const line of [`--socket ${lab.socketPath} network list`, `network list --socket ${lab.socketPath}`]) {
      const outcome = await runWeft('/nowhere.sock', line.split(' '));
      assert.equal(outcome.status, 0, line);
    }
  });

  it('apply prints the plan and carries it out; a second time there is nothing to do', async () => {
    const directory = join(lab.directory, 'labs');
    mkdirSync(directory);
    const file = join(directory, 'lab.yaml');
    writeFileSync(
      file,
      [
        'weft: 1',
        'networks:',
        '  back: { type: private, subnets: [10.81.0.0/24] }',
        'compartments:',
        '  web: {}',
        '  db:',
        'endpoints:',
        '  web-back: { network: back, compartment: web, ifname: eth1 }',
        'captures:',
        '  wire: { network: back, file: back.pcapng }',
        '',
      ].join('\n'),
    );
    const planned = await weft(`apply -f ${file} --dry-run`);
    assert.match(planned, /^ {3}ACTION {2}OBJECT {7}NAME {6}DETAIL\n\+ {2}create {2}network {6}back {6}/);
    assert.match(planned, /\n\ndry run, nothing done: would be 5 created\n$/);
    assert.deepEqual(lab.controller.listNetworks(), []);
    assert.match(await weft(`apply -f ${file}`), /\n\n5 created\n$/);
    assert.equal(lab.controller.listCaptures()[0]!.file, join(directory, 'back.pcapng'), 'relative to the file');
    assert.equal(
      await weft('apply -f labs/lab.yaml', { cwd: lab.directory }),
      'nothing to change: everything is as labs/lab.yaml says\n',
    );
    const exported = await weft('export');
    assert.match(exported, /^weft: 1\nnetworks:\n {2}back:\n/);
    assert.match(await weft('apply -f -', { input: exported }), /^nothing to change/);
  });

  it('apply says where a lab file is wrong', async () => {
    const applied = async (input: string) => (await runWeft(lab.socketPath, ['apply', '-f', '-'], { input })).stderr;
    assert.match(
      await applied('weft: 1\nnetworks: { a: [ }'),
      /^error: cannot read the lab file - \(line 2, column \d+: .*; correct the YAML\)\n$/,
    );
    assert.match(await applied('weft: 1\nweft: 1\n'), /line 2, column 1: Map keys must be unique/);
    assert.match(await applied('- 1'), /it holds no mapping/);
    assert.match(
      await applied('weft: 1\nnetworks: &all [*all]\n'),
      /^error: cannot read the lab file - \(an alias stands inside of what it stands for; correct the YAML\)\n$/,
    );
    assert.match(await applied('networks: {}'), /lab\.weft: is missing/);
    assert.match(
      await applied('weft: 1\nnetworks:\n  n: { type: private, mtu: big }'),
      /lab\.networks\.n\.mtu: must be a whole number/,
    );
    assert.match(
      await applied(`a: &a [x,x]\n${'b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n'.repeat(1)}c: [${'*b,'.repeat(30)}]`),
      /^error: /,
    );
    const missing = await runWeft(lab.socketPath, ['apply', '-f', 'nowhere.yaml']);
    assert.match(missing.stderr, /cannot read the lab file nowhere\.yaml \(there is no such file; /);
  });

  it('status is a summary; version needs no daemon; doctor neither', async () => {
    await populate();
    const text = await weft('status');
    assert.match(text, /^weftd 0\.0\.0 runs: process \d+, for [\d.]+ s\n\nDatapath: {6}running, program \d+/);
    assert.match(text, /^Endpoints: {5}1 \(1 attached\)$/m);
    assert.match(text, /^Warnings: {6}none$/m);
    assert.equal(await weft('version'), 'weft 1.2.3\nweftd 0.0.0\n');
    const alone = await runWeft('/nowhere.sock', ['version']);
    assert.deepEqual([alone.status, alone.stdout], [0, 'weft 1.2.3\nweftd does not answer on /nowhere.sock\n']);

    const finding = (status: 'ok' | 'warn' | 'fail', check: string) => ({
      check,
      status,
      finding: `${check} found`,
      cost: '',
      remedy: '',
    });
    const checkMachine = async () => [
      finding('ok', 'tun'),
      { ...finding('warn', 'uso'), cost: 'UDP is slower', remedy: 'use Linux 6.2' },
    ];
    assert.equal(
      (await runWeft('/nowhere.sock', ['doctor'], { checkMachine })).stdout,
      'STATUS  CHECK  FINDING\nok      tun    tun found\nWARN    uso    uso found\n\nWhat to do:\nuso:  UDP is slower\n      use Linux 6.2\n',
    );
    const failed = await runWeft('/nowhere.sock', ['doctor'], { checkMachine: async () => [finding('fail', 'tun')] });
    assert.deepEqual(
      [failed.status, failed.stderr],
      [1, 'error: this machine cannot run weft yet (tun; see the remedies above)\n'],
    );
  });

  it('events are lines; --follow goes on until Ctrl-C', async () => {
    await populate();
    const text = await weft('events');
    assert.match(text, /^ +2 {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}network-created {9}network back created/m);
    const follower = startWeft(lab.socketPath, ['events', '--follow', '--since', '0']);
    await eventually(() => follower.stdout.includes('endpoint-attached'), 'past events');
    await lab.controller.createCompartment({ name: 'db' });
    await eventually(() => follower.stdout.includes('compartment db created'), 'a new one');
    follower.interrupt();
    assert.deepEqual((await follower.done).status, 0);
    const json = startWeft(lab.socketPath, ['--json', 'events', '-f', '--since', '0']);
    await eventually(() => json.stdout.includes('endpoint-attached'), 'past events');
    json.interrupt();
    for (const line of (await json.done).stdout.trimEnd().split('\n')) JSON.parse(line);
  });

  it('a follower is told when the daemon stops', async () => {
    const follower = startWeft(lab.socketPath, ['events', '--follow']);
    await eventually(() => lab.server.state.streams === 1, 'it follows');
    await lab.server.stop();
    const outcome = await follower.done;
    assert.deepEqual(
      [outcome.status, outcome.stderr],
      [1, 'error: the stream of events has ended (weftd has stopped; start it again)\n'],
    );
  });

  it('stats --watch redraws in place on a terminal and stops on Ctrl-C', async () => {
    await populate();
    const watch = startWeft(lab.socketPath, ['stats', '--watch', '--interval', '0.05'], { terminal: true });
    await eventually(() => watch.stdout.split(`${ESCAPE}[H`).length > 3, 'three tables');
    watch.interrupt();
    const { status, stdout } = await watch.done;
    assert.equal(status, 0);
    assert.ok(stdout.startsWith('\u001b[?1049h\u001b[?25l'), 'its own screen');
    assert.ok(stdout.includes(`${ESCAPE}[?25h${ESCAPE}[?1049l`), 'and back');
    assert.ok(stdout.endsWith('\n') && stdout.includes('web-back'));
    const piped = await weft('stats --watch --interval 0.01 --count 2');
    assert.ok(!piped.includes(ESCAPE));
    assert.equal(piped.match(/^ENDPOINT/gm)?.length, 2);
    const rows = (await weft('stats -w --interval 0.01 --count 2 --json')).trimEnd().split('\n');
    assert.deepEqual(
      rows.map((row) => JSON.parse(row).endpoints[0].endpoint),
      ['web-back', 'web-back'],
    );
  });

  it('stats, drops, MACs and flows have something to say when there is nothing', async () => {
    assert.equal(await weft('stats'), 'no endpoints\n');
    assert.equal(await weft('drop list'), 'nothing has been dropped\n');
    assert.equal(await weft('flow list'), 'no flows: nothing speaks through the NAT of a network\n');
    assert.equal(await weft('fdb list'), 'no MACs: nothing has been learned\n');
    assert.match(await weft('drop list --all'), /^REASON +FRAMES +STAGE +ENDPOINTS\n/);
  });

  it('help has examples, and lists what there is', async () => {
    const text = await weft('--help');
    for (const noun of [
      'network',
      'compartment',
      'endpoint',
      'exec',
      'capture',
      'fdb',
      'flow',
      'drop',
      'stats',
      'events',
      'apply',
      'export',
      'status',
      'version',
      'doctor',
      'completion',
    ]) {
      assert.match(text, new RegExp(`^  ${noun} `, 'm'));
    }
    assert.match(text, /\nExamples:\n {2}weft network create /);
    assert.doesNotMatch(text, /__complete/);
    assert.match(await weft('endpoint create --help'), /--native-vlan <ID>/);
    assert.equal(await weft('--version'), 'weft 1.2.3\n');
  });
});
