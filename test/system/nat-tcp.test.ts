// What TCP does besides opening, talking and closing, through the NAT, with the kernel's own TCP at both ends.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { createNat, type Nat } from '../support/system-nat.js';
import { type Background, waitFor } from '../support/system-process.js';

const UDP_SECONDS = 2;
const ESTABLISHED_SECONDS = 3600;
const TRANSITORY_SECONDS = 4;

describe('TCP through a nat network', function tcp() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let nat: Nat;

  before(async () => {
    const timers = { udp: UDP_SECONDS, tcpEstablished: ESTABLISHED_SECONDS, tcpTransitory: TRANSITORY_SECONDS };
    nat = await createNat(lab, { plain: true, network: { nat: { timers } } });
  });

  // biome-ignore lint/suspicious/noExplicitAny: looked at field by field, as a script would read it
  async function flows(protocol: string): Promise<any[]> {
    return await daemon.json('flow', 'list', '--network', nat.network, '--protocol', protocol);
  }

  it('stays open when it is idle for longer than UDP flows live', async () => {
    const { far } = nat.world;
    await listen(7001, 'socket.pipe(socket);');
    const client = connect(far.v4, 7001, `socket.on('data', (part) => console.log(String(part)));`);
    client.child.stdin?.write('one');
    await waitFor('the first echo', () => client.stdout.includes('one'));
    // A UDP flow opened now is the clock: when it has gone, the connection has been idle for longer than its timer.
    await lab.inside(nat.inside.base, ['socat', '-u', '-', `udp4:${far.v4}:7009`], { input: 'tick' });
    await waitFor('the UDP flow to be there', async () => (await flows('udp')).length > 0);
    await waitFor('the UDP flow to expire', async () => (await flows('udp')).length === 0, 20_000, 200);
    client.child.stdin?.write('two');
    await waitFor('the second echo', () => client.stdout.includes('two'));
    client.child.stdin?.end();
    assert.equal((await client.end()).status, 0);
  });

  it('passes a reset on, in both directions, and soon forgets the connection', async () => {
    await listen(7002, `socket.once('data', () => socket.resetAndDestroy());`);
    const refused = connect(nat.world.far.v4, 7002, '');
    refused.child.stdin?.write('reset me');
    assert.match((await refused.end()).stderr, /ECONNRESET/);
    const server = await listen(7003, `socket.on('error', (error) => console.log(error.code));`);
    const resetting = connect(nat.world.far.v4, 7003, 'setTimeout(() => socket.resetAndDestroy(), 100);');
    await waitFor('the server to see the reset', () => server.stdout.includes('ECONNRESET'));
    await resetting.end();
    const isLeft = async () => (await flows('tcp')).some(({ remote }) => remote.port === 7002 || remote.port === 7003);
    await waitFor('the reset connections to be forgotten', async () => !(await isLeft()), 20_000, 200);
  });

  it('opens from both sides at once', async () => {
    // The outside must not answer the inside's SYN with a reset before it has sent its own: a rule swallows it.
    const { world, inside, external } = nat;
    const rules =
      'table ip hold { chain in { type filter hook input priority 0; tcp dport 7005 tcp flags & (syn | ack) == syn drop; }; }';
    await lab.inside(world.outside, ['nft', '-f', '-'], { input: rules });
    const talk = (port: number, target: string, targetPort: number, name: string) => `
      const socket = require('node:net').connect({ localPort: ${port}, port: ${targetPort}, host: '${target}' }, () => socket.write('${name}'));
      socket.on('error', (error) => { console.error(error.code); process.exit(1); });
      socket.on('data', (part) => { console.log('heard ' + part); socket.end(); });`;
    const near = lab.background(inside.base, [process.execPath, '-e', talk(7004, world.far.v4, 7005, 'inside')]);
    const found = await waitFor('the mapping of the first SYN', async () =>
      (await flows('tcp')).find(({ remote }) => remote.port === 7005),
    );
    const { address, port } = found.outside;
    assert.equal(address, external.v4);
    const far = lab.background(world.outside, [process.execPath, '-e', talk(7005, address, port, 'outside')]);
    await waitFor('both to hear the other', () => {
      assert.deepEqual([near.stderr, far.stderr], ['', '']);
      return near.stdout.includes('heard outside') && far.stdout.includes('heard inside');
    });
    await lab.inside(world.outside, ['nft', 'delete', 'table', 'ip', 'hold']);
  });

  it('does not let a stranger in, and forgets him', async () => {
    const client = ['curl', '--silent', '--max-time', '1', '--noproxy', '*', `http://${nat.external.v4}:7010/`];
    assert.notEqual((await lab.tryInside(nat.world.outside, client)).status, 0);
    assert.deepEqual(
      (await flows('tcp')).filter(({ outside }) => outside.port === 7010),
      [],
    );
  });

  /** A server outside; `body` runs for each connection with `socket` in scope. */
  async function listen(port: number, body: string): Promise<Background> {
    const program = `require('node:net').createServer((socket) => {
      socket.on('error', () => {}); ${body}
    }).listen(${port}, '0.0.0.0', () => console.log('listening'));`;
    const server = lab.background(nat.world.outside, [process.execPath, '-e', program]);
    await waitFor('a server outside', () => server.stdout.includes('listening'));
    return server;
  }

  /** A client inside whose input goes to the server; an error ends it with its code on stderr. */
  function connect(address: string, port: number, body: string): Background {
    const program = `const socket = require('node:net').connect(${port}, '${address}', () => process.stdin.pipe(socket));
      socket.on('error', (error) => { console.error(error.code); process.exit(1); }); ${body}
      socket.on('close', () => process.exit(0));`;
    return lab.background(nat.inside.base, [process.execPath, '-e', program]);
  }
});
