// What the services of gateways and `weft exec` need: namespaces without a name, sockets bound to a device, private mounts.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { LISTEN_TCP, LISTEN_UDP, native } from '../../src/native/index.js';
import { configure, connect, Lab, needsRoot, ok } from './lab.js';

const [ENODEV, EADDRINUSE, EADDRNOTAVAIL, EINVAL] = [19, 98, 99, 22];

describe('native: services', () => {
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  function identityOf(fd: number): string {
    const identity = new Float64Array(2);
    ok(native.namespaceIdentity(fd, identity));
    return identity.join();
  }

  it('makes namespaces without a name, each its own, and stays where it is', () => {
    const own = lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'own namespace');
    const first = lab.keep(native.makeNamespace(), 'makeNamespace');
    const second = lab.keep(native.makeNamespace(), 'makeNamespace');
    assert.equal(new Set([own, first, second].map(identityOf)).size, 3);
    const now = lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'own namespace');
    assert.equal(identityOf(now), identityOf(own));
    const loopback = native.openListener(first, LISTEN_UDP, '127.0.0.1', 0, 'lo');
    lab.keep(loopback, 'a socket on the loopback interface, which is up');
  });

  it('opens sockets that hear their device only, for two networks with one address', async () => {
    const server = lab.namespace();
    const [left, right] = [lab.namespace(), lab.namespace()];
    await connect([server.name, 'veth1', '192.0.2.1/24'], [left.name, 'veth', '192.0.2.7/24']);
    await connect([server.name, 'veth2', '192.0.2.1/24'], [right.name, 'veth', '192.0.2.7/24']);
    spawnSync('ip', ['netns', 'exec', server.name, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0']);
    for (const device of ['veth1', 'veth2']) {
      spawnSync('ip', ['netns', 'exec', server.name, 'sysctl', '-qw', `net.ipv4.conf.${device}.rp_filter=0`]);
      const udp = ok(native.openListener(server.fd, LISTEN_UDP, '192.0.2.1', 53, device), 'UDP');
      const tcp = ok(native.openListener(server.fd, LISTEN_TCP, '192.0.2.1', 53, device), 'TCP');
      for (const fd of [udp, tcp]) ok(native.disownFd(fd));
      const socket = createSocket('udp4');
      socket.on('message', (_message, { port, address }) => socket.send(`udp over ${device}`, port, address));
      socket.bind({ fd: udp });
      const listener = createServer((connection) => connection.end(`tcp over ${device}`));
      listener.listen({ fd: tcp });
      await once(listener, 'listening');
      lab.defer(() => {
        socket.close();
        listener.close();
      });
    }
    for (const [namespace, device] of [[left, 'veth1'] as const, [right, 'veth2'] as const]) {
      const udp = await lab.run(namespace.name, 'sh', ['-c', 'echo x | socat -t 0.5 - UDP:192.0.2.1:53']);
      assert.equal(udp.stdout, `udp over ${device}`);
      const tcp = await lab.run(namespace.name, 'socat', ['-u', 'TCP:192.0.2.1:53', '-']);
      assert.equal(tcp.stdout, `tcp over ${device}`);
    }
  });

  it('opens sockets of IPv6, and says why one cannot be opened', async () => {
    const { name, fd } = lab.namespace();
    lab.tap(fd, 'tap0', 0);
    configure(name, 'tap0', '192.0.2.1/24', '2001:db8::1/64');
    lab.keep(native.openListener(fd, LISTEN_UDP, '2001:db8::1', 53, 'tap0'), 'UDP over IPv6');
    lab.keep(native.openListener(fd, LISTEN_TCP, '192.0.2.1', 53, 'tap0'), 'TCP');
    assert.equal(native.openListener(fd, LISTEN_UDP, '2001:db8::1', 53, 'tap0'), -EADDRINUSE);
    assert.equal(native.openListener(fd, LISTEN_UDP, '192.0.2.2', 53, 'tap0'), -EADDRNOTAVAIL);
    assert.equal(native.openListener(fd, LISTEN_UDP, '192.0.2.1', 53, 'tap1'), -ENODEV);
    for (const address of ['', 'example.com', '192.0.2.1%tap0']) {
      assert.equal(native.openListener(fd, LISTEN_UDP, address, 53, 'tap0'), -EINVAL, address);
    }
    assert.equal(native.openListener(fd, 2, '192.0.2.1', 53, 'tap0'), -EINVAL);
    assert.equal(native.openListener(fd, LISTEN_UDP, '192.0.2.1', 65536, 'tap0'), -EINVAL);
    assert.equal(native.openListener(fd, LISTEN_UDP, '192.0.2.1', 53, ''), -EINVAL);
  });

  it('shows a program a file at another place, and nobody else', () => {
    const program = fileURLToPath(new URL('./bind-mount-program.js', import.meta.url));
    const { stdout, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.deepEqual(JSON.parse(stdout), { inside: 'the other one\n', outside: 'the one\n', relative: -EINVAL });
  });
});
