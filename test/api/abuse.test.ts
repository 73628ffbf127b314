/** Clients that mean no good, over a real socket: nothing they do changes anything, stops anybody or grows without bound. */
import assert from 'node:assert/strict';
import { ApiLab, eventually, type RawClient } from '../support/api-lab.js';

describe('API: abuse over the socket', () => {
  let lab: ApiLab;
  let snapshot: unknown;

  async function start(limits: Parameters<typeof ApiLab.start>[0] = {}): Promise<void> {
    lab = await ApiLab.start(limits);
    await lab.populate();
    await lab.listen();
    snapshot = lab.control.snapshot();
  }

  afterEach(async () => {
    await stillWell();
    assert.deepEqual(lab.control.snapshot(), snapshot, 'nothing has changed');
    await lab.close();
  });

  /** A decent client gets its answer. */
  async function stillWell(): Promise<void> {
    const client = await lab.open();
    client.send('GET /v1/networks/back HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n');
    assert.match(await client.untilClosed(), /^HTTP\/1\.1 200 OK\r\n.*"name":"back"/s);
  }

  async function exchange(text: string): Promise<string> {
    const client = await lab.open();
    client.send(text);
    return client.untilClosed();
  }

  it('a thousand idle connections change nothing for others', async () => {
    await start();
    await stillWell();
    const before = process.memoryUsage().heapUsed;
    const idle: RawClient[] = [];
    for (let i = 0; i < 1000; i++) idle.push(await lab.open());
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const startedAt = performance.now();
      await stillWell();
      times.push(performance.now() - startedAt);
    }
    // Half of them: the machine that runs the tests may have other things to do.
    times.sort((a, b) => a - b);
    assert.ok(times[10]! < 100, `answers come at once: ${times.map((time) => time.toFixed(0))} ms`);
    assert.ok(process.memoryUsage().heapUsed - before < 64 << 20, 'both ends of a thousand connections are cheap');
    assert.ok(idle.every((client) => !client.isClosed));
  });

  it('connections beyond the limit are closed and counted; when some go, there is room again', async () => {
    await start({ limits: { connections: 20 } });
    const clients: RawClient[] = [];
    for (let i = 0; i < 30; i++) clients.push(await lab.open());
    await eventually(() => clients.filter((client) => client.isClosed).length === 10, 'ten are closed');
    assert.equal(lab.server.state.connectionsRefused, 10);
    assert.equal(lab.log.length, 1, 'one warning, not one per connection');
    for (const client of clients) client.socket.destroy();
    await eventually(() => lab.server.http.listening, 'still listening');
    await new Promise((resolve) => setTimeout(resolve, 50));
  });

  it('a client that sends its request drop by drop is cut off', async () => {
    await start({ limits: { headersMs: 300, requestMs: 600, checkMs: 50 } });
    const [slowHead, slowBody, silent] = [await lab.open(), await lab.open(), await lab.open()];
    slowHead.send('GET /v1/status HTTP/1.1\r\nx: ');
    slowBody.send(
      'POST /v1/networks HTTP/1.1\r\nhost: weft\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"na',
    );
    const drip = setInterval(() => {
      slowHead.send('y');
      slowBody.send(' ');
    }, 40);
    try {
      assert.match(await slowHead.untilClosed(), /^HTTP\/1\.1 408 .*"code":"request-timeout"/s);
      assert.match(await slowBody.untilClosed(), /^HTTP\/1\.1 408 .*"code":"request-timeout"/s);
      await silent.untilClosed();
    } finally {
      clearInterval(drip);
    }
  });

  it('a client that never reads its answers is cut off', async () => {
    await start({ limits: { stallMs: 300 } });
    const client = await lab.open();
    client.socket.pause();
    client.send('GET /v1/openapi.json HTTP/1.1\r\nhost: weft\r\n\r\n'.repeat(30));
    await eventually(() => lab.server.state.stalled > 0, 'it is cut off');
    client.socket.resume();
    await client.untilClosed();
  });

  it('a client that sends thousands of requests without waiting is cut off before they are worked on', async () => {
    await start();
    await lab.call('GET', '/v1/openapi.json');
    const client = await lab.open();
    client.socket.pause();
    const startedAt = performance.now();
    client.send('GET /v1/openapi.json HTTP/1.1\r\nhost: weft\r\n\r\n'.repeat(20_000));
    await eventually(() => lab.server.state.requests > 30, 'it has begun');
    client.socket.resume();
    await client.untilClosed();
    assert.ok(performance.now() - startedAt < 5000, 'twenty thousand answers were not made');
  });

  it('a body beyond the limit is refused, announced or not', async () => {
    await start();
    const head = 'POST /v1/networks HTTP/1.1\r\nhost: weft\r\ncontent-type: application/json\r\n';
    assert.match(
      await exchange(`${head}content-length: 2000000\r\n\r\n{`),
      /^HTTP\/1\.1 413 .*"code":"body-too-large"/s,
    );
    const chunk = `10000\r\n${' '.repeat(65536)}\r\n`;
    assert.match(await exchange(`${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(17)}`), /^HTTP\/1\.1 413 /);
  });

  it('what is no HTTP is answered with a problem and the connection closed', async () => {
    await start();
    for (const noise of [
      'hello\r\n\r\n',
      '\u0016\u0003\u0001\u0002\u0000',
      'GET / HTTP/9.9\r\n\r\n',
      'GET /v1/\u0001 HTTP/1.1\r\nhost: weft\r\n\r\n',
      'POST /v1/networks HTTP/1.1\r\nhost: weft\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}',
      'POST /v1/networks HTTP/1.1\r\nhost: weft\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      'GET /v1/status HTTP/1.1\r\nhost: weft\r\nx: \u0000\r\n\r\n',
    ]) {
      const answer = await exchange(noise);
      assert.match(answer, /^HTTP\/1\.1 400 .*"code":"malformed-http"/s, JSON.stringify(noise));
    }
    const large = `GET /v1/status HTTP/1.1\r\nhost: weft\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`;
    assert.match(await exchange(large), /^HTTP\/1\.1 431 .*"code":"headers-too-large"/s);
  });

  it('a request smuggled behind another is a request of its own, not a part of it', async () => {
    await start();
    const both =
      'POST /v1/endpoints/web-back/detach HTTP/1.1\r\nhost: weft\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n' +
      '0\r\n\r\nDELETE /v1/networks/back?force=true HTTP/1.1\r\nhost: weft\r\n\r\n';
    assert.match(await exchange(both), /^HTTP\/1\.1 400 /);
  });

  it('paths with tricks in them lead nowhere', async () => {
    await start();
    for (const path of [
      '/v1/networks/../../etc/passwd',
      '/v1/networks/..%2f..%2fetc',
      '/v1/networks/%00',
      '//v1/networks',
      '/v1/./networks',
      '/v1/networks/back%2Fx',
    ]) {
      const answer = await exchange(`DELETE ${path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 40[04] /, path);
    }
  });

  it('connections cut at any point leave nothing half done', async () => {
    await start();
    const body = '{"name":"half","type":"private","subnets":["10.99.0.0/24"]}';
    const text = `POST /v1/networks HTTP/1.1\r\nhost: weft\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    for (let length = 1; length < text.length; length += 7) {
      const client = await lab.open();
      client.send(text.slice(0, length));
      await new Promise((resolve) => setImmediate(resolve));
      client.socket.destroy();
    }
  });
});
