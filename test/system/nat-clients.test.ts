// What people do first behind a nat network, with the programs that they use: everything goes out through one address.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { ask, createNat, curl, type Nat, serveWeb, url } from '../support/system-nat.js';
import { waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const WEB = 8080;
const MEGABYTE = 1e6;
const NARROW_MTU = 1400;

describe('a compartment behind a nat network', function clients() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;

  before(async () => {
    nat = await createNat(lab);
    await serveWeb(lab, nat.world.outside, WEB);
  });

  for (const family of ['v4', 'v6'] as const) {
    describe(`over IP${family}`, () => {
      it('pings its gateway and the outside', async () => {
        assert.ok(await lab.pings(nat.inside.base, nat.gateway[family]), 'the gateway');
        assert.ok(await lab.pings(nat.inside.base, nat.world.far[family]), 'the outside');
      });

      it('reaches a web server, which sees the address of the host', async () => {
        const { far, near } = nat.world;
        assert.deepEqual(await ask(lab, nat.inside.base, far[family], WEB), { from: near[family], to: far[family] });
      });

      it('downloads and uploads with curl', async () => {
        const target = url(nat.world.far[family], WEB, String(30 * MEGABYTE));
        const write = ['--output', '/dev/null', '--write-out', '%{size_download}'];
        assert.equal(await lab.inside(nat.inside.base, curl(target, ...write)), String(30 * MEGABYTE));
        const upload = curl(url(nat.world.far[family], WEB), '--upload-file', '-');
        const input = Buffer.alloc(20 * MEGABYTE, 'tfew');
        assert.equal(await lab.inside(nat.inside.base, upload, { input }), String(20 * MEGABYTE));
      });

      it('sends a stream that arrives byte for byte', async () => {
        const { inside, world } = nat;
        const request = { from: inside.base, to: world.outside, address: world.far[family], bytes: 100 * MEGABYTE };
        await (await startTransfer(lab, { ...request, bytesPerSecond: 400 * MEGABYTE })).finish();
      });

      it('measures with iperf3 over TCP and UDP, both ways', async () => {
        const address = nat.world.far[family];
        for (const kind of [['--reverse'], ['--udp', '--bitrate', '20M'], ['--udp', '--bitrate', '20M', '--reverse']]) {
          const server = lab.background(nat.world.outside, ['iperf3', '--server', '--one-off', '--forceflush']);
          await waitFor('iperf3 to listen', () => server.stdout.includes('Server listening'));
          const client = ['iperf3', '--client', address, '--time', '1', '--json', ...kind];
          const { error, end } = JSON.parse(await lab.inside(nat.inside.base, client));
          assert.equal(error, undefined);
          const received = end.sum_received?.bytes ?? end.sum.bytes;
          assert.ok(received > MEGABYTE, `${received} bytes with ${kind.join(' ')}`);
          assert.ok((end.sum?.lost_percent ?? 0) < 20, `${end.sum?.lost_percent} % lost with ${kind.join(' ')}`);
          await server.end();
        }
      });

      for (const [kind, options] of [
        ['UDP', []],
        ['ICMP', ['-I']],
        ['TCP', ['-T', '-p', String(WEB)]],
      ] as const) {
        it(`sees its way with traceroute by ${kind}`, async () => {
          const address = nat.world.far[family];
          const command = ['traceroute', '-n', '-q', '1', '-w', '2', '-N', '1', '-m', '6', ...options, address];
          const hops = (await lab.inside(nat.inside.base, command)).trim().split('\n').slice(1);
          const addresses = hops.map((line) => line.trim().split(/\s+/)[1]);
          assert.equal(addresses[0], nat.gateway[family], hops.join('\n'));
          assert.equal(addresses.at(-1), address, hops.join('\n'));
          assert.equal(addresses.length, 3, 'gateway, host, destination');
          assert.ok(addresses[1]?.includes('*') === false, hops.join('\n'));
        });
      }
    });
  }

  it('asks a name server outside with dig, by UDP and by TCP', async () => {
    await serveNames();
    for (const options of [[], ['+tcp']]) {
      for (const address of [nat.world.far.v4, nat.world.far.v6]) {
        const command = [
          'dig',
          `@${address}`,
          '-p',
          '5353',
          '+short',
          '+time=2',
          '+tries=2',
          ...options,
          'www.example.com',
        ];
        assert.equal(await lab.inside(nat.inside.base, command), '192.0.2.80\n');
      }
    }
  });

  it('finds the MTU of a narrow way outside, for TCP and for what must not be fragmented', async () => {
    const { inside, world } = nat;
    // The host's own way out is narrow; the server announces 1460 bytes all the same. What is too big is refused by the host's
    // kernel, whose ICMP errors speak of packets that it knows only translated.
    await lab.inside(world.router, ['ip', 'link', 'set', 'dev', 'rb', 'mtu', String(NARROW_MTU)]);
    try {
      for (const family of ['v4', 'v6'] as const) {
        const address = world.far[family];
        const payload = NARROW_MTU - (family === 'v4' ? 28 : 48);
        const ping = (bytes: number) =>
          lab.tryInside(inside.base, [
            'ping',
            '-n',
            '-q',
            '-c',
            '2',
            '-i',
            '0.2',
            '-W',
            '1',
            '-M',
            'do',
            '-s',
            String(bytes),
            address,
          ]);
        assert.notEqual((await ping(payload + 1)).status, 0, `IP${family}: one byte too many does not pass`);
        assert.equal((await ping(payload)).status, 0, `IP${family}: exactly the MTU passes`);
        const route = JSON.parse(await lab.inside(inside.base, ['ip', '-j', 'route', 'get', address]));
        assert.equal(route[0].metrics?.[0]?.mtu ?? route[0].mtu, NARROW_MTU, `IP${family}: ${JSON.stringify(route)}`);
        await lab.inside(inside.base, ['ip', family === 'v4' ? '-4' : '-6', 'route', 'flush', 'cache']);
        const request = { from: inside.base, to: world.outside, address, bytes: 20 * MEGABYTE };
        await (await startTransfer(lab, { ...request, bytesPerSecond: 200 * MEGABYTE })).finish();
      }
    } finally {
      await lab.inside(world.router, ['ip', 'link', 'set', 'dev', 'rb', 'mtu', '1500']);
    }
  });

  it('lists its flows with their ends and counters', async () => {
    const listed = await lab.daemon.json('flow', 'list', '--endpoint', nat.inside.endpoint, '--protocol', 'udp');
    const seen = listed.find(({ remote }: { remote: { port: number } }) => remote.port === 5353);
    assert.ok(seen !== undefined, JSON.stringify(listed));
    const { endpoint, inside, remote, framesOut, framesIn } = seen;
    assert.deepEqual(
      { endpoint, address: inside.address, remote: remote.address, framesOut, framesIn },
      {
        ...{ endpoint: nat.inside.endpoint, address: nat.inside[inside.address.includes(':') ? 'v6' : 'v4'] },
        ...{ remote: nat.world.far[inside.address.includes(':') ? 'v6' : 'v4'], framesOut: 1, framesIn: 1 },
      },
    );
  });

  /** Answers every question for an address with 192.0.2.80. */
  async function serveNames(): Promise<void> {
    const program = `
      const { decode, encode, streamDecode, streamEncode } = require('dns-packet');
      const answer = ({ id, questions }) => ({ id, type: 'response', questions, answers: [{ name: questions[0].name, type: 'A', ttl: 1, data: '192.0.2.80' }] });
      const socket = require('node:dgram').createSocket('udp6');
      socket.on('message', (bytes, from) => socket.send(encode(answer(decode(bytes))), from.port, from.address));
      const server = require('node:net').createServer((one) => one.on('data', (bytes) => one.write(streamEncode(answer(streamDecode(bytes))))));
      socket.bind(5353, '::', () => server.listen(5353, '::', () => console.log('listening')));`;
    const server = lab.background(nat.world.outside, [process.execPath, '-e', program]);
    await waitFor('a name server outside', () => {
      assert.equal(server.status, null, server.stderr);
      return server.stdout.includes('listening');
    });
  }
});
