// The sockets of a DNS server on the loopback interface: how connections are kept apart, bounded and ended.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Listener } from '../../src/control/dns/listener.js';
import { NameService } from '../../src/control/dns/name-service.js';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { LISTEN_TCP, LISTEN_UDP, native } from '../../src/native/index.js';
import { needsRoot, ok } from '../native/lab.js';
import { ask, see } from '../support/dns-messages.js';

const ADDRESS = '127.0.0.1';

describe('dns/listener', () => {
  let port: number;
  let listener: Listener;
  const sockets: Socket[] = [];

  before(needsRoot);
  beforeEach(async () => {
    port = await freePort();
    const open = (kind: number) => {
      const fd = ok(native.openListener(-1, kind, ADDRESS, port, 'lo'));
      ok(native.disownFd(fd));
      return fd;
    };
    listener = new Listener(
      { address: ADDRESS, udp: open(LISTEN_UDP), tcp: open(LISTEN_TCP) },
      responder(),
      assert.fail,
    );
  });
  afterEach(() => {
    listener.close();
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  /** Of a network that has the loopback addresses for its stations. */
  function responder() {
    const state = new DesiredState('test', { networks: 4, ports: 4 });
    const parsed = parseNetworkRequest({ name: 'n', type: 'nat', uplink: 'none', subnets: ['198.18.0.0/24'] });
    assert.ok(parsed.ok);
    state.addNetwork({ ...parsed.value, subnets: ['127.0.0.0/8'] }, 'id');
    return new NameService({ state, resolvConf: '/nonexistent' }).responderOf('n');
  }

  async function dial(localAddress = ADDRESS): Promise<Socket> {
    const socket = connect({ port, host: ADDRESS, localAddress });
    sockets.push(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  function framed(message: Buffer): Buffer {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    return Buffer.concat([length, message]);
  }

  /** The next `count` responses. */
  async function take(socket: Socket, count: number): Promise<Buffer[]> {
    let received = Buffer.alloc(0);
    const responses: Buffer[] = [];
    for await (const part of socket.iterator({ destroyOnReturn: false })) {
      received = Buffer.concat([received, part as Buffer]);
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        responses.push(received.subarray(2, 2 + received.readUInt16BE(0)));
        received = received.subarray(2 + received.readUInt16BE(0));
      }
      if (responses.length >= count) break;
    }
    assert.equal(responses.length, count);
    return responses;
  }

  it('answers over UDP', async () => {
    const client = createSocket('udp4');
    client.send(ask('gateway.n.weft', 'A', { id: 7 }), port, ADDRESS);
    const [response] = (await once(client, 'message')) as [Buffer];
    client.close();
    assert.deepEqual([response.readUInt16BE(0), see(response).answers], [7, ['A 198.18.0.1']]);
  });

  it('answers many questions of one connection, however they are cut', async () => {
    const socket = await dial();
    const questions = Array.from({ length: 50 }, (_, id) => framed(ask('gateway.n.weft', 'A', { id })));
    socket.write(Buffer.concat(questions));
    const ids = (await take(socket, 50)).map((response) => response.readUInt16BE(0));
    assert.deepEqual(
      ids.sort((a, b) => a - b),
      questions.map((_, id) => id),
    );
    for (const byte of framed(ask('gateway.n.weft', 'A', { id: 99 }))) {
      socket.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await take(socket, 1))[0]?.readUInt16BE(0), 99);
  });

  it('ends connections that send what is no question', async () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.of(0xff, 0xff, 1), framed(Buffer.alloc(3))]) {
      const socket = await dial();
      socket.write(bytes);
      socket.resume();
      await once(socket, 'close');
    }
  });

  it('lets one client have so many connections only', async () => {
    const open: Socket[] = [];
    for (let n = 0; n < 8; n++) open.push(await dial());
    const surplus = await dial();
    surplus.resume();
    await once(surplus, 'close');
    open[0]!.write(framed(ask('gateway.n.weft')));
    assert.equal((await take(open[0]!, 1)).length, 1);
    open[7]!.destroy();
    // The place is free as soon as the server has noticed.
    for (let attempt = 0; ; attempt++) {
      const next = await dial();
      next.write(framed(ask('gateway.n.weft')));
      const isServed = await Promise.race([
        take(next, 1).then(() => true),
        once(next, 'close').then(() => false),
      ]).catch(() => false);
      if (isServed) break;
      assert.ok(attempt < 100, 'the place of a connection that is gone');
    }
  });

  it('counts connections of all addresses that weft did not give as those of one client', async () => {
    const open: Socket[] = [];
    for (let n = 0; n < 8; n++) open.push(await dial(`127.0.0.${n + 2}`));
    const surplus = await dial('127.0.0.99');
    surplus.resume();
    await once(surplus, 'close');
    open[7]!.write(framed(ask('gateway.n.weft')));
    assert.equal((await take(open[7]!, 1)).length, 1);
  });

  it('ends all connections when it is closed', async () => {
    const socket = await dial();
    socket.write(framed(ask('gateway.n.weft')));
    await take(socket, 1);
    listener.close();
    socket.resume();
    await once(socket, 'close');
    const refused = connect(port, ADDRESS);
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, ADDRESS);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
