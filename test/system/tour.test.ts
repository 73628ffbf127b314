// The tour of README.md, with nothing but the command line: what a person does in the first five minutes works as typed.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { must, waitFor } from '../support/system-process.js';

const SERVER = `
  require('node:http').createServer((request, response) => response.end('hello from ' + request.socket.localAddress)).listen(80, '::');
  console.log('listening');
`;

describe('a tour of weft with the command line', function tour() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  const [front, back] = [lab.subnet(), lab.subnet()];
  const [frontNet, backNet] = [lab.name('front'), lab.name('back')];
  const [web, app, db] = [lab.name('web'), lab.name('app'), lab.name('db')];

  before(async () => {
    const { ok } = { ok: daemon.ok.bind(daemon) };
    await ok(
      'network',
      'create',
      frontNet,
      '--type',
      'internal',
      '--subnet',
      `${front.v4}.0/24`,
      '--subnet',
      `${front.v6}::/64`,
    );
    await ok(
      'network',
      'create',
      backNet,
      '--type',
      'private',
      '--subnet',
      `${back.v4}.0/24`,
      '--subnet',
      `${back.v6}::/64`,
    );
    for (const name of [web, app, db]) await ok('compartment', 'create', name);
    await ok(
      'endpoint',
      'create',
      lab.name('web-front'),
      '--network',
      frontNet,
      '--compartment',
      web,
      '--ip',
      `${front.v4}.10`,
    );
    await ok(
      'endpoint',
      'create',
      lab.name('app-front'),
      '--network',
      frontNet,
      '--compartment',
      app,
      '--ip',
      `${front.v6}::20`,
    );
    await ok(
      'endpoint',
      'create',
      lab.name('app-back'),
      '--network',
      backNet,
      '--compartment',
      app,
      '--ifname',
      'eth1',
    );
    await ok('endpoint', 'create', lab.name('db-back'), '--network', backNet, '--compartment', db);
  });

  /** The address of an endpoint in a subnet, as weft gave it. */
  async function address(endpoint: string, start: string): Promise<string> {
    const { ip } = await daemon.json('endpoint', 'show', lab.name(endpoint));
    const found = ip.find((text: string) => text.startsWith(start));
    assert.ok(found !== undefined, `${endpoint} has an address in ${start}: ${ip}`);
    return found;
  }

  it('gives every endpoint one address in each subnet, the ones asked for where asked', async () => {
    const endpoints = await daemon.json('endpoint', 'list');
    const all: string[] = endpoints.flatMap((endpoint: { ip: string[] }) => endpoint.ip);
    assert.equal(all.length, 8);
    assert.equal(new Set(all).size, 8, 'no address twice');
    assert.ok(all.includes(`${front.v4}.10`) && all.includes(`${front.v6}::20`));
    assert.deepEqual(
      endpoints.map((endpoint: { name: string; state: string }) => [endpoint.name, endpoint.state]),
      ['app-back', 'app-front', 'db-back', 'web-front'].map((name) => [lab.name(name), 'attached']),
    );
  });

  it('lets compartments of one network reach each other over IPv4 and IPv6', async () => {
    for (const start of [front.v4, front.v6]) assert.ok(await lab.pings('web', await address('app-front', start)));
    for (const start of [back.v4, back.v6]) assert.ok(await lab.pings('app', await address('db-back', start)));
  });

  it('lets the host and the compartments of an internal network reach each other at its gateway', async () => {
    const { gateway } = await daemon.json('network', 'show', frontNet);
    assert.deepEqual(gateway, [`${front.v4}.1`, `${front.v6}::1`]);
    for (const gate of gateway) assert.ok(await lab.pings('web', gate));
    for (const start of [front.v4, front.v6]) {
      await must(['ping', '-n', '-q', '-c', '1', '-W', '2', await address('web-front', start)]);
    }
  });

  it('keeps compartments apart that share no network', async () => {
    for (const start of [back.v4, back.v6])
      assert.equal(await lab.pings('web', await address('db-back', start)), false);
  });

  it('carries HTTP over IPv4 and IPv6, between compartments and from the host', async () => {
    const server = lab.background('web', [process.execPath, '-e', SERVER]);
    await waitFor('the server to listen', () => server.stdout.includes('listening'));
    const [v4, v6] = [await address('web-front', front.v4), await address('web-front', front.v6)];
    const curl = ['curl', '--silent', '--show-error', '--fail', '--max-time', '5'];
    assert.equal(await lab.inside('app', [...curl, `http://${v4}/`]), `hello from ::ffff:${v4}`);
    assert.equal(await lab.inside('app', [...curl, `http://[${v6}]/`]), `hello from ${v6}`);
    assert.equal(await must([...curl, '--noproxy', '*', `http://${v4}/`]), `hello from ::ffff:${v4}`);
    await server.stop();
  });

  for (const family of ['v4', 'v6'] as const) {
    it(`carries iperf3 both ways over IP${family} without a failure`, async () => {
      const target = await address('db-back', back[family]);
      for (const direction of [[], ['--reverse']]) {
        const server = lab.background('db', ['iperf3', '--server', '--one-off', '--forceflush']);
        await waitFor('iperf3 to listen', () => server.stdout.includes('listening'));
        const report = JSON.parse(await lab.inside('app', ['iperf3', '-c', target, '-t', '1', '--json', ...direction]));
        assert.ok(report.end.sum_received.bytes > 0, JSON.stringify(report.end.sum_received));
        await server.end();
      }
    });
  }

  it('has learned who is where', async () => {
    const entries = await daemon.json('fdb', 'list', '--network', backNet);
    const endpoints = (await daemon.json('endpoint', 'list')).filter(
      (item: { network: string }) => item.network === backNet,
    );
    const expected = endpoints.map((item: { mac: string; name: string }) => [item.mac, item.name]).sort();
    const learned = entries.map((entry: { mac: string; endpoint: string }) => [entry.mac, entry.endpoint]).sort();
    assert.deepEqual(learned, expected);
  });

  it('counts what every endpoint sent and received', async () => {
    const { endpoints } = await daemon.json('stats');
    assert.equal(endpoints.length >= 4, true);
    for (const name of ['app-back', 'app-front', 'db-back', 'web-front']) {
      const row = endpoints.find((item: { endpoint: string }) => item.endpoint === lab.name(name));
      assert.ok(row.rxFrames > 0 && row.txFrames > 0 && row.rxBytes > row.rxFrames * 14, JSON.stringify(row));
    }
  });

  it('says all that in tables for people too, without an error', async () => {
    const verbs = [
      'network list',
      'compartment list',
      'endpoint list',
      'fdb list',
      'flow list',
      'drop list',
      'stats',
      'status',
    ];
    for (const verb of [...verbs, 'events', 'version', 'network ls', `network inspect ${frontNet}`]) {
      assert.notEqual((await daemon.ok(...verb.split(' '))).trim(), '', `weft ${verb} prints something`);
    }
    assert.ok((await daemon.ok('endpoint', 'list')).includes(lab.name('web-front')));
  });

  it('refuses to delete a network that is in use, and deletes everything in order', async () => {
    const refused = await daemon.weft(['network', 'delete', backNet]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^error: .+ \(.+\)\n$/);
    for (const name of ['web-front', 'app-front', 'app-back', 'db-back'])
      await daemon.ok('endpoint', 'delete', lab.name(name));
    for (const name of [web, app, db]) await daemon.ok('compartment', 'rm', name);
    for (const name of [frontNet, backNet]) await daemon.ok('network', 'delete', name);
    for (const noun of ['network', 'compartment', 'endpoint']) assert.deepEqual(await daemon.json(noun, 'list'), []);
  });
});
