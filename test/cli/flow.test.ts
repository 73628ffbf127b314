/** `weft flow` as a user types it, over the real controller and a flow table that a real Nat writes. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';
import { FlowLab } from '../support/flow-lab.js';

describe('CLI: flow', () => {
  let lab: ApiLab;
  let flows: FlowLab;
  let row: number;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.listen();
    const subnets = ['10.90.0.0/24', 'fd00:90::/64'];
    await lab.controller.createNetwork({ name: 'front', type: 'nat', subnets, uplink: 'none' });
    await lab.controller.createEndpoint({ name: 'web', network: 'front', ip: ['10.90.0.10', 'fd00:90::10'] });
    flows = new FlowLab(lab.control, 8192);
    flows.adopt();
    row = lab.control.datapath.program.networkRole.indexOf(1);
  });
  afterEach(() => lab.close());

  async function weft(line: string, note = ''): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.deepEqual([outcome.status, outcome.stderr], [0, note], line);
    return outcome.stdout;
  }

  async function refused(line: string): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.deepEqual([outcome.status === 0, outcome.stdout], [false, ''], line);
    return outcome.stderr;
  }

  /** Id and outside port of a row. */
  function placeOf(flow: number): { id: string; port: number } {
    const table = flows.nat.flows;
    return { id: `${flow}-${table.generation(flow)}`, port: table.outsidePort(flow) };
  }

  it('list is a table', async () => {
    assert.equal(await weft('flow list'), 'no flows: nothing speaks through the NAT of a network\n');
    const tcp = flows.open(row, { inside: '10.90.0.10:5000', remote: '203.0.113.9:443' });
    flows.nat.flows.countOut(tcp, 2048);
    const udp = flows.open(row, { inside: '[fd00:90::10]:6000', remote: '[2001:db8::53]:53', protocol: 17, state: 0 });
    const ping = flows.open(row, { inside: '10.90.0.99:77', remote: '203.0.113.9:0', protocol: 1, state: 0 });
    flows.tick(40_000);
    assert.deepEqual(
      (await weft('flow ls'))
        .trim()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
      [
        ['ID', 'NETWORK', 'ENDPOINT', 'PROTOCOL', 'STATE', 'INSIDE', 'OUTSIDE', 'REMOTE', 'OUT', 'IN', 'EXPIRES'],
        ...[
          [tcp, 'web', 'tcp', 'established', '10.90.0.10:5000', '100.64.0.1:', '203.0.113.9:443', '2.00 KiB'] as const,
          [udp, 'web', 'udp', 'open', '[fd00:90::10]:6000', '[2001:db8::1]:', '[2001:db8::53]:53', '0 B'] as const,
          [ping, '-', 'icmp', 'open', '10.90.0.99:77', '100.64.0.1:', '203.0.113.9', '0 B'] as const,
        ].map(([flow, endpoint, protocol, state, inside, outside, remote, out]) => [
          ...[placeOf(flow).id, 'front', endpoint, protocol, state],
          ...[inside, `${outside}${placeOf(flow).port}`, remote, out, '0 B', '1 min'],
        ]),
      ],
    );
  });

  it('list goes page by page, says when it is not all, and takes filters', async () => {
    for (let i = 0; i < 6000; i++) flows.open(row, { inside: '10.90.0.10:5000', remote: `203.0.113.9:${i}` });
    const note = 'these are the first 1000 flows, there are more: --limit, or a filter\n';
    assert.equal((await weft('flow list', note)).split('\n').length, 1002);
    assert.equal(JSON.parse(await weft('flow list --limit 6000 --json')).length, 6000);
    assert.equal(JSON.parse(await weft('flow list --limit 1000000 --json --state established')).length, 6000);
    assert.equal(await weft('flow list --protocol udp'), 'no flows: nothing speaks through the NAT of a network\n');
    const single = 'this is the first flow, there are more: --limit, or a filter\n';
    assert.equal(JSON.parse(await weft('flow list --limit 1 --endpoint web --json', single)).length, 1);
  });

  it('show tells everything of one flow', async () => {
    const flow = flows.open(row, { inside: '10.90.0.10:5000', remote: '203.0.113.9:443' });
    flows.nat.flows.countIn(flow, 3000);
    flows.tick(5000);
    const { id, port } = placeOf(flow);
    assert.equal(
      await weft(`flow show ${id}`),
      [
        `Id:        ${id}`,
        'Network:   front',
        'Endpoint:  web',
        'Protocol:  tcp',
        'State:     established',
        'Inside:    10.90.0.10:5000',
        `Outside:   100.64.0.1:${port}`,
        'Remote:    203.0.113.9:443',
        'Sent:      0 B in 0 frames',
        'Received:  2.93 KiB in 1 frame',
        'Age:       5 s',
        'Expires:   in 1 min 35 s unless something more comes',
        '',
      ].join('\n'),
    );
    assert.match(await refused('flow show 77-1'), /^error: cannot show flow 77-1 \(there is no flow 77-1; /);
  });

  it('delete ends one, those that pass a filter, or all, and nothing by accident', async () => {
    const open = (port: number, more = {}): number =>
      flows.open(row, { inside: '10.90.0.10:5000', remote: `203.0.113.9:${port}`, ...more });
    const one = placeOf(open(1)).id;
    for (let port = 2; port < 7; port++) open(port, port < 4 ? { protocol: 17, state: 0 } : {});
    assert.equal(await weft(`flow delete ${one}`), `flow ${one} deleted\n`);
    assert.equal(await weft('flow rm --protocol udp'), '2 flows deleted\n');
    assert.match(await refused('flow delete'), /^error: cannot delete flows \(nothing says which; /);
    assert.match(
      await refused(`flow delete ${one} --all`),
      /^error: cannot delete flows \(an ID and a filter are given; /,
    );
    assert.equal(flows.nat.flows.count, 3);
    assert.deepEqual(JSON.parse(await weft('flow delete --all --json')), { deleted: 3 });
    assert.equal(flows.nat.flows.count, 0);
  });
});
