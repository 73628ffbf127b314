// Uplinks of kind raw: weft shares the address of the machine, by ports, and the machine does not spoil it.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { useLab } from '../support/system-lab.js';
import { addressesReady, ask, createWorld, serveWeb, type World } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';
import { startTransfer, TRANSFER_PORTS } from '../support/system-transfer.js';

/** The package is optional: it is compiled when weft is installed, which needs a compiler and the headers of Node.js. */
const isBuilt = await import('raw-socket').then(
  () => true,
  () => false,
);

if (!isBuilt) {
  describe('an uplink of kind raw whose package could not be built', function uplinkRawMissing() {
    this.timeout(120_000);
    const lab = useLab();

    it('is refused, and says what is missing', async () => {
      const world = await createWorld(lab);
      const place = ['--uplink', 'raw', '--uplink-netns', lab.path(world.router)];
      const subnet = `${lab.subnet().v4}.0/24`;
      const network = ['network', 'create', lab.name('raw'), '--type', 'nat', '--subnet', subnet, ...place];
      const { status, stderr } = await lab.daemon.weft(network);
      assert.equal(status, 1);
      assert.match(stderr, /npm rebuild raw-socket/);
    });
  });
} else
  describe('an uplink of kind raw', function uplinkRaw() {
    this.timeout(120_000);
    const lab = useLab();
    const { daemon } = lab;
    const network = lab.name('raw');
    let world: World;
    let inside: Side;

    const inRouter = (...command: string[]) => lab.inside(world.router, command);
    const socketCount = async () =>
      (await inRouter('ss', '-w', '-a', '-n', '-H')).trim().split('\n').filter(Boolean).length;

    before(async () => {
      world = await createWorld(lab);
      const subnet = lab.subnet();
      await daemon.call('POST', '/v1/networks', {
        ...{ name: network, type: 'nat', subnets: [`${subnet.v4}.0/24`] },
        ...{ uplink: 'raw', uplinkNetns: lab.path(world.router) },
      });
      const endpoint = {
        publish: ['8080:80', `${TRANSFER_PORTS}:${TRANSFER_PORTS.split('-')[0]}`],
        ip: [`${subnet.v4}.10`],
      };
      inside = await createSide(lab, { network, subnet, base: 'sharer', host: 10, endpoint });
      await addressesReady(lab, inside.base);
      await serveWeb(lab, inside.base, 80);
      await serveWeb(lab, world.outside, 8000);
      await serveWeb(lab, world.router, 8100);
    });

    it('has the address of the machine, and the machine keeps what is its own', async () => {
      assert.equal((await ask(lab, inside.base, world.far.v4, 8000)).from, world.near.v4);
      assert.equal((await ask(lab, world.outside, world.near.v4, 8100)).to, world.near.v4, "the machine's own server");
      assert.ok(await lab.pings(world.outside, world.near.v4), 'it answers pings itself');
      assert.ok(await lab.pings(world.router, world.far.v4), 'and sends some');
      assert.ok(await lab.pings(inside.base, world.far.v4), 'as the compartment does');
    });

    it('forwards nothing through the kernel of the machine', async () => {
      assert.equal((await inRouter('sysctl', '-n', 'net.ipv4.ip_forward')).trim(), '0');
    });

    it('is reached at published ports, and the source address is kept', async () => {
      assert.deepEqual(await ask(lab, world.outside, world.near.v4, 8080), { from: world.far.v4, to: inside.v4 });
    });

    it('carries transfers both ways byte for byte, checksums that were never finished included', async () => {
      const bytes = 2e6;
      const out = await startTransfer(lab, { from: inside.base, to: world.outside, address: world.far.v4, bytes });
      await out.finish();
      const into = await startTransfer(lab, { from: world.outside, to: inside.base, address: world.near.v4, bytes });
      await into.finish();
    });

    it('brings datagrams that came in fragments', async () => {
      const program = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (bytes) => { console.log(bytes.length); process.exit(0); });
      socket.send(Buffer.alloc(3000), 9000, '${world.far.v4}');`;
      const echo = lab.background(world.outside, [
        process.execPath,
        '-e',
        `const socket = require('node:dgram').createSocket('udp4');
       socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
       socket.bind(9000, () => console.log('listening'));`,
      ]);
      await new Promise<void>((resolve) => {
        const timer = setInterval(() => {
          if (!echo.stdout.includes('listening')) return;
          clearInterval(timer);
          resolve();
        }, 20);
      });
      assert.equal((await lab.inside(inside.base, [process.execPath, '-e', program])).trim(), '3000');
    });

    it('is there again after a kill -9 of the daemon', async () => {
      await daemon.kill();
      await daemon.start();
      assert.deepEqual(await ask(lab, world.outside, world.near.v4, 8080), { from: world.far.v4, to: inside.v4 });
    });

    it('is gone without a trace', async () => {
      assert.equal(await socketCount(), 3);
      await daemon.call('DELETE', `/v1/networks/${network}?force=true`);
      assert.equal(await socketCount(), 0);
      assert.equal(await inRouter('nft', 'list', 'ruleset'), '');
      assert.deepEqual(readdirSync(`${daemon.runDir}/routing`), []);
    });
  });
