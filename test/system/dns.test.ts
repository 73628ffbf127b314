// The DNS server of a gateway, asked by real clients: names of the lab, everything else from an upstream of the test's own,
// an upstream that is dead, questions of no kind, restarts.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { a, answerTo, ask, soa } from '../support/dns-messages.js';
import { ether, ipv4, udp } from '../support/frame-builders.js';
import { sendFrames } from '../support/system-frames.js';
import { useLab } from '../support/system-lab.js';
import { createPair, createSide, type Pair } from '../support/system-pair.js';
import { must, waitFor } from '../support/system-process.js';
import { UpstreamDns } from '../support/upstream-dns.js';

const DOMAIN = 'lab.test';
/** What the server lets one client have. */
const CONNECTIONS_OF_CLIENT = 8;

interface Dug {
  status: string;
  /** Of the answer section. */
  data: string[];
  flags: string[];
  tcp: boolean;
  text: string;
}

describe('the DNS server of a network', function dns() {
  this.timeout(180_000);
  const lab = useLab();
  const { daemon } = lab;
  const upstream = new UpstreamDns((question, name, transport) => {
    if (name === 'silent.example') return null;
    if (name === 'none.example') return answerTo(question, { rcode: 3, authorities: [soa('example', 60, 60)] });
    const isLarge = name === 'large.example';
    if (isLarge && transport === 'udp') return answerTo(question, { flags: 0x0380 });
    const count = isLarge ? 200 : 1;
    return answerTo(question, { answers: Array.from({ length: count }, (_, n) => a(name, `203.0.113.${n}`, 60)) });
  });
  let pair: Pair;
  let gateway: { v4: string; v6: string };

  before(async () => {
    await upstream.open();
    const dns = { domain: DOMAIN, forwarders: [upstream.forwarder] };
    // Only a network that has an outside publishes ports.
    const network = {
      type: 'nat',
      uplink: 'host',
      uplinkNetns: await lab.addNamespace('outside'),
      masquerade: false,
      dns,
    };
    pair = await createPair(lab, { network });
    gateway = { v4: `${pair.subnet.v4}.1`, v6: `${pair.subnet.v6}::1` };
    const { endpoint } = pair.right;
    await daemon.call('PATCH', `/v1/endpoints/${endpoint}`, { aliases: ['db'], publish: ['8080:80/tcp'] });
  });
  after(() => upstream.close());

  /** dig in the left compartment. */
  async function dig(...parameters: string[]): Promise<Dug> {
    const server = parameters.some((each) => each.startsWith('@')) ? [] : [`@${gateway.v4}`];
    const command = ['dig', '+time=8', '+tries=1', ...server, ...parameters];
    const text = await lab.inside(pair.left.base, command);
    const answers = /ANSWER SECTION:\n((?:.+\n)+)/.exec(text)?.[1] ?? '';
    return {
      status: /status: (\w+)/.exec(text)?.[1] ?? '',
      flags: (/flags: ([\w ]+);/.exec(text)?.[1] ?? '').split(' '),
      data: answers
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split(/\s+/).slice(3).join(' ')),
      tcp: /SERVER: .*\(TCP\)/.test(text),
      text,
    };
  }

  it('knows endpoints, compartments, aliases, addresses and published ports, over UDP and TCP, IPv4 and IPv6', async () => {
    const { right } = pair;
    const name = `${right.endpoint}.${DOMAIN}`;
    const { endpoints }: { endpoints: { endpoint: string; rxFrames: number }[] } = await daemon.call(
      'GET',
      '/v1/stats',
    );
    const service = endpoints.filter(({ endpoint }) => endpoint === `service/${pair.network}`);
    assert.deepEqual(
      service.map(({ rxFrames }) => rxFrames),
      [0],
      'its kernel says nothing by itself: no ARP, no solicitations, no reports',
    );
    for (const options of [
      [`@${gateway.v4}`],
      [`@${gateway.v6}`],
      [`@${gateway.v4}`, '+tcp'],
      [`@${gateway.v6}`, '+tcp'],
    ]) {
      const { status, data, flags, tcp } = await dig(...options, name, 'A');
      assert.deepEqual(
        [status, data, flags.includes('aa'), tcp],
        ['NOERROR', [`A ${right.v4}`], true, options.length > 1],
      );
    }
    assert.deepEqual((await dig(name, 'AAAA')).data, [`AAAA ${right.v6}`]);
    assert.deepEqual((await dig(`${right.compartment.toUpperCase()}.Lab.TEST`)).data, [`A ${right.v4}`]);
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${right.v4}`]);
    assert.deepEqual((await dig('-x', right.v4)).data, [`PTR ${name}.`]);
    assert.deepEqual((await dig('-x', right.v6)).data, [`PTR ${name}.`]);
    assert.deepEqual((await dig(`_http._tcp.${DOMAIN}`, 'SRV')).data, [`SRV 0 0 80 ${name}.`]);
    assert.equal((await dig(`nobody.${DOMAIN}`)).status, 'NXDOMAIN');
    assert.deepEqual(upstream.asked, [], 'nobody outside hears of any of that');
  });

  it('is what programs in compartments resolve names with, under `weft exec` and `ip netns exec`', async () => {
    const { left, right } = pair;
    const inExec = await daemon.ok('exec', left.compartment, '--', 'getent', 'ahostsv4', 'db');
    assert.match(inExec, new RegExp(`^${right.v4} `));
    assert.match(await must(['ip', 'netns', 'exec', left.compartment, 'getent', 'hosts', right.v4]), /lab\.test/);
    const serve = "require('node:http').createServer((_, response) => response.end('hello')).listen(8000)";
    const page = lab.background(right.base, [process.execPath, '-e', serve]);
    await waitFor('the server', async () => (await lab.inside(right.base, ['ss', '-ltn'])).includes(':8000'));
    for (const family of ['-4', '-6']) {
      const text = await daemon.ok('exec', left.compartment, '--', 'curl', '-sS', family, 'http://db:8000/');
      assert.equal(text, 'hello');
    }
    await page.stop();
  });

  it('writes a resolv.conf for its compartments only where there is none', async () => {
    const name = lab.name('own');
    const path = `/etc/netns/${name}/resolv.conf`;
    mkdirSync(`/etc/netns/${name}`, { recursive: true });
    try {
      writeFileSync(path, 'nameserver 192.0.2.1\n');
      const { network, subnet } = pair;
      const side = await createSide(lab, { network, subnet, base: 'own', host: 40 });
      assert.equal(readFileSync(path, 'utf8'), 'nameserver 192.0.2.1\n');
      await daemon.call('DELETE', `/v1/compartments/${side.compartment}?force=true`);
      assert.ok(existsSync(path), 'nor is it removed');
    } finally {
      rmSync(`/etc/netns/${name}`, { recursive: true, force: true });
    }
    const file = `/etc/netns/${pair.left.compartment}/resolv.conf`;
    assert.match(
      readFileSync(file, 'utf8'),
      new RegExp(`^nameserver ${gateway.v4}\nnameserver ${gateway.v6}\nsearch lab.test$`, 'm'),
    );
    await daemon.call('POST', `/v1/endpoints/${pair.left.endpoint}/detach`);
    assert.ok(!existsSync(file), 'without a network there is nobody to ask');
    await daemon.call('POST', `/v1/endpoints/${pair.left.endpoint}/attach`, { compartment: pair.left.compartment });
    assert.ok(existsSync(file));
  });

  it('asks its forwarders for the rest, once, and over TCP for what is too large', async () => {
    upstream.asked.length = 0;
    assert.deepEqual((await dig('www.example')).data, ['A 203.0.113.0']);
    assert.deepEqual((await dig('WWW.example', `@${gateway.v6}`)).data, ['A 203.0.113.0']);
    assert.deepEqual(upstream.asked, ['udp www.example']);
    assert.deepEqual(
      [(await dig('none.example')).status, (await dig('none.example')).status],
      ['NXDOMAIN', 'NXDOMAIN'],
    );
    const large = await dig('large.example');
    assert.deepEqual([large.data.length, large.tcp], [200, true], 'the client came again over TCP');
    assert.deepEqual(upstream.asked, ['udp www.example', 'udp none.example', 'udp large.example', 'tcp large.example']);
  });

  it('says SERVFAIL soon when nobody answers, at once after that, and works when somebody is back', async () => {
    assert.equal((await dig('silent.example')).status, 'SERVFAIL', 'it is there but does not answer');
    assert.equal((await dig('awake.example')).status, 'NOERROR', 'and now it does');
    upstream.close();
    const first = await dig('away.example');
    assert.equal(first.status, 'SERVFAIL');
    assert.match(first.text, /EDE: 22/);
    for (let n = 0; n < 5; n++) await dig(`away${n}.example`);
    const waited: number[] = [];
    for (const n of [5, 6, 7]) {
      const { status, text } = await dig(`away${n}.example`);
      assert.equal(status, 'SERVFAIL');
      waited.push(Number(/Query time: (\d+) msec/.exec(text)?.[1]));
    }
    assert.ok(Math.min(...waited) < 500, `at once: ${waited} ms`);
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`], 'the lab does not need them');
    await upstream.open();
    await waitFor(
      'the upstream',
      async () => (await dig(`back${Date.now()}.example`)).status === 'NOERROR',
      15_000,
      200,
    );
  });

  it('changes its domain, goes and comes back while the network lives', async () => {
    const path = `/v1/networks/${pair.network}`;
    await daemon.call('PATCH', path, { dns: { domain: 'other.test' } });
    assert.deepEqual((await dig('db.other.test')).data, [`A ${pair.right.v4}`]);
    await daemon.call('PATCH', path, { dns: false });
    const refused = await lab.tryInside(pair.left.base, [
      'dig',
      '+time=3',
      '+tries=1',
      `@${gateway.v4}`,
      'db.other.test',
    ]);
    assert.notEqual(refused.status, 0);
    assert.match(refused.stdout, /refused/, 'the gateway says that nobody is there');
    const dns = { enabled: true, domain: DOMAIN, forwarders: [upstream.forwarder] };
    await daemon.call('PATCH', path, { dns });
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
  });

  it('answers others while one station floods it with junk and with questions', async () => {
    const { network, subnet } = pair;
    const side = await createSide(lab, { network, subnet, base: 'flood', host: 50 });
    const program = `
      const { createSocket } = require('node:dgram');
      const socket = createSocket('udp4');
      const question = Buffer.from('000101000001000000000000037777770765786d61706c650000010001', 'hex');
      const send = (n) => {
        const junk = Buffer.alloc(n % 600, n & 255);
        for (let i = 0; i < 64; i++) socket.send(i & 1 ? junk : question, 53, '${gateway.v4}', () => {});
        setImmediate(send, n + 1);
      };
      socket.on('message', () => {});
      send(1);`;
    // It gives way: on a machine of two processors it would take what the daemon and its clients need to run at all.
    const flood = lab.background(side.base, ['nice', '-n', '10', process.execPath, '-e', program]);
    const tooMuch = async () => {
      const drops: { reason: string; frames: number; endpoints: { endpoint: string }[] }[] = await daemon.call(
        'GET',
        '/v1/drops',
      );
      return drops.find(({ reason }) => reason === 'service-limit')!;
    };
    try {
      await waitFor('the flood', async () => (await tooMuch()).frames > 2_000, 30_000);
      for (let n = 0; n < 20; n++) {
        assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
        assert.equal((await dig(`n${n}.example`)).status, 'NOERROR');
      }
      assert.deepEqual(
        (await tooMuch()).endpoints.map(({ endpoint }) => endpoint),
        [side.endpoint],
      );
      assert.equal((await daemon.call('GET', '/v1/status')).worker, 'running', 'the control plane answers');
    } finally {
      await flood.stop();
    }
  });

  it('lets questions from port 0, where nobody can be answered, be', async () => {
    const { base, mac, v4 } = pair.left;
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
    const [neighbour] = JSON.parse(await lab.inside(base, ['ip', '-j', 'neigh', 'show', gateway.v4]));
    const ignored = async () => (await daemon.call('GET', '/v1/stats')).dns.ignored as number;
    const before = await ignored();
    const question = ipv4({ from: v4, to: gateway.v4 }, udp(0, 53, ask(`db.${DOMAIN}`)));
    await sendFrames(lab, base, 'eth0', [ether({ from: mac, to: neighbour.lladdr }, question).bytes]);
    await waitFor('the question to be counted', async () => (await ignored()) === before + 1);
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
  });

  it('takes connections that say nothing, and still answers', async () => {
    const idle = Array.from({ length: 20 }, () =>
      lab.background(pair.right.base, ['socat', '-u', `TCP:${gateway.v4}:53`, 'OPEN:/dev/null']),
    );
    const isOver = () => idle.filter(({ status }) => status === null).length === CONNECTIONS_OF_CLIENT;
    await waitFor('those that are too many to be ended', isOver);
    assert.deepEqual((await dig('+tcp', `db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
    await Promise.all(idle.map((each) => each.stop()));
  });

  it('knows the names of networks that this one is connected to, and not those of others', async () => {
    const other = await createPair(lab, {
      network: { type: 'nat', uplink: 'none', routesTo: [pair.network], dns: { domain: 'friend.test' } },
    });
    const name = `${other.left.endpoint}.friend.test`;
    assert.deepEqual((await dig(name)).data, [`A ${other.left.v4}`]);
    assert.deepEqual((await dig('-x', other.left.v4)).data, [`PTR ${name}.`]);
    await daemon.call('PATCH', `/v1/networks/${other.network}`, { routesTo: [] });
    assert.deepEqual((await dig(name)).data, ['A 203.0.113.0'], 'somebody else may know it');
  });

  it('answers again after a restart, after kill -9 and after the end of the datapath worker, and leaves nothing behind', async () => {
    await daemon.terminate();
    await daemon.start();
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
    await daemon.kill();
    daemon.setOptions('--worker-fault', 'throw');
    await daemon.start();
    assert.deepEqual((await dig('+tcp', `@${gateway.v6}`, `db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
    assert.deepEqual((await dig('www.example')).data, ['A 203.0.113.0']);
    process.kill(daemon.pid, 'SIGUSR2');
    await waitFor('another datapath worker', () => daemon.log.includes('the datapath worker died'));
    assert.deepEqual((await dig(`db.${DOMAIN}`)).data, [`A ${pair.right.v4}`]);
    await daemon.call('DELETE', `/v1/compartments/${pair.left.compartment}?force=true`);
    assert.ok(!existsSync(`/etc/netns/${pair.left.compartment}`));
  });
});
