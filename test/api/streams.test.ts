/** Streams: events and captures over a real socket, up to clients that do not read, and the end of the daemon. */
import assert from 'node:assert/strict';
import type { CaptureStream, CaptureView } from '../../src/control/controller/captures.js';
import type { Controller, WeftEvent } from '../../src/control/controller.js';
import { ApiLab, eventually } from '../support/api-lab.js';

const VIEW: CaptureView = {
  name: 'capture-1',
  network: null,
  endpoint: null,
  all: true,
  underlay: false,
  file: null,
  format: 'pcapng',
  filter: '',
  snaplen: 262144,
  drops: false,
  rotateSize: null,
  rotateFiles: null,
  files: [],
  state: 'running',
  reason: null,
  frames: 0,
  bytes: 0,
  lost: 0,
  startedAt: '2026-01-01T00:00:00.000Z',
};

/** A capture that gives `chunks` pieces of 64 KiB, as fast as they are taken, and counts them. */
function captureOf(chunks: number): { stream: CaptureStream; given: () => number; stopped: () => boolean } {
  let given = 0;
  let stopped = false;
  let wake = () => {};
  async function* produce(): AsyncGenerator<Uint8Array, void, void> {
    while (!stopped && given < chunks) {
      given++;
      yield new Uint8Array(65536).fill(0x61);
    }
    while (!stopped && chunks === Number.POSITIVE_INFINITY) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  const stop = () => {
    stopped = true;
    wake();
  };
  const stream = {
    get view() {
      return { ...VIEW, frames: given, lost: 3 };
    },
    chunks: produce(),
    stop,
  };
  return { stream, given: () => given, stopped: () => stopped };
}

describe('API: streams', () => {
  let lab: ApiLab;

  async function start(options: Parameters<typeof ApiLab.start>[0] = {}): Promise<void> {
    lab = await ApiLab.start(options);
    await lab.listen();
  }

  afterEach(() => lab.close());

  const request = (path: string, extra = '') => `GET ${path} HTTP/1.1\r\nhost: weft\r\n${extra}\r\n`;
  const linesOf = (text: string) =>
    text
      .split('\r\n')
      .filter((line) => line.startsWith('{'))
      .flatMap((line) => line.trim().split('\n'))
      .map((line) => JSON.parse(line) as WeftEvent);

  it('events follow as JSON lines, from a sequence number on', async () => {
    await start();
    await lab.populate();
    const client = await lab.open();
    client.send(request('/v1/events?follow=true&since=0'));
    await eventually(() => client.received.includes('endpoint-attached'), 'past events');
    assert.match(client.received, /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/x-ndjson\r\n/);
    await lab.controller.createCompartment({ name: 'db' });
    await eventually(() => client.received.includes('compartment db created'), 'a new event');
    const sequences = linesOf(client.received).map((event) => event.sequence);
    assert.deepEqual(
      sequences,
      [...sequences.keys()].map((i) => i + 1),
      'all of them, once, in order',
    );
  });

  it('without a number only new events follow; an Accept is enough to ask for a stream', async () => {
    await start();
    await lab.populate();
    const client = await lab.open();
    client.send(request('/v1/events', 'accept: text/event-stream\r\n'));
    await eventually(() => client.received.includes('\r\n\r\n'), 'the head');
    await lab.controller.createCompartment({ name: 'db' });
    await eventually(() => client.received.includes('compartment db created'), 'the event');
    assert.match(client.received, /content-type: text\/event-stream\r\n/);
    assert.match(client.received, /\nid: \d+\nevent: compartment-created\ndata: \{.*\}\n\n/);
    assert.doesNotMatch(client.received, /network-created/);
  });

  it('SSE goes on behind the event that the header Last-Event-ID names, whatever the address says', async () => {
    await start();
    await lab.populate();
    const all = lab.controller.eventsSince(0);
    const from = all[1]!.sequence;
    const client = await lab.open();
    const headers = `accept: text/event-stream\r\nlast-event-id: ${from}\r\n`;
    client.send(request('/v1/events?since=0', headers));
    await eventually(() => client.received.includes(`id: ${all.at(-1)!.sequence}\n`), 'the last event');
    const ids = [...client.received.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
    assert.deepEqual(
      ids,
      all.slice(2).map(({ sequence }) => sequence),
    );
  });

  it('whoever asks from a number on is told what is not kept any more, and of a number that does not exist', async () => {
    const kept = [7, 8].map((sequence) => {
      return { sequence, time: 't', type: 'test', object: 'daemon', name: 'weftd', message: 'm' } as const;
    });
    await start({
      override: {
        eventsSince: (since) => kept.filter((event) => event.sequence > since),
        onEvent: () => () => {},
      },
    });
    const list = async (since: number) =>
      ((await lab.call('GET', `/v1/events?since=${since}`)).body as WeftEvent[]).map(
        ({ sequence, type, message }) => `${sequence} ${type} ${message}`,
      );
    assert.deepEqual(await list(0), ['7 test m', '8 test m'], 'what is kept was asked for');
    assert.deepEqual(await list(2), [
      '6 events-missed 4 events before 7 are not kept any more',
      '7 test m',
      '8 test m',
    ]);
    assert.deepEqual(await list(5), ['6 events-missed event 6 is not kept any more', '7 test m', '8 test m']);
    assert.deepEqual(await list(6), ['7 test m', '8 test m']);
    assert.deepEqual(await list(8), []);
    assert.deepEqual(await list(9), [
      '8 events-missed no event 9 yet, the last one is 8: the events known before are of another state directory',
    ]);
    const client = await lab.open();
    client.send(request('/v1/events?follow=true&since=3'));
    await eventually(() => client.received.includes('"sequence":8'), 'the last event');
    assert.deepEqual(
      linesOf(client.received).map(({ sequence }) => sequence),
      [6, 7, 8],
    );
  });

  it('a follower that falls behind is told what it has missed, and costs no queue', async () => {
    let history: WeftEvent[] = [];
    const listeners = new Set<(event: WeftEvent) => void>();
    const padding = 'x'.repeat(10_000);
    const add = (sequence: number) => {
      const event = { sequence, time: '', type: 'test', object: 'daemon', name: 'weftd', message: padding } as const;
      history = [...history, event].slice(-50);
      for (const listener of listeners) listener(event);
    };
    await start({
      override: {
        eventsSince: (since) => history.filter((event) => event.sequence > since),
        onEvent: (listener) => {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
    });
    const client = await lab.open();
    add(1);
    client.send(request('/v1/events?follow=true&since=0'));
    await eventually(() => client.received.includes('"sequence":1'), 'the first event');
    client.socket.pause();
    for (let sequence = 2; sequence <= 3000; sequence++) {
      add(sequence);
      if (sequence % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    client.socket.resume();
    await eventually(() => client.received.includes('"sequence":3000,'), 'the last event');
    const events = linesOf(client.received.replace(/\r\n[0-9a-f]+\r\n/g, '\r\n'));
    const missed = events
      .filter((event) => event.type === 'events-missed')
      .map((event) => Number(event.message.split(' ')[0]));
    const told = events.filter((event) => event.type === 'test').length;
    assert.ok(missed.length > 0, 'it is told');
    assert.equal(told + missed.reduce((sum, count) => sum + count, 0), 3000, 'every event was sent or counted');
    client.socket.destroy();
    await eventually(() => listeners.size === 0, 'nobody listens any more');
  });

  it('a capture streams its bytes, names itself, and ends with its numbers', async () => {
    const capture = captureOf(10);
    await start({ override: { streamCapture: async () => capture.stream } });
    const client = await lab.open();
    client.send(
      'POST /v1/captures/stream HTTP/1.1\r\nhost: weft\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{"all":true}',
    );
    const text = await client.untilClosed();
    assert.match(text, /\r\ncontent-type: application\/x-pcapng\r\n/);
    assert.match(text, /\r\nweft-capture: capture-1\r\n/);
    assert.match(text, /\r\nweft-frames: 10\r\nweft-lost: 3\r\n\r\n$/);
    assert.equal(text.match(/a{1000}/g)?.length, Math.floor(65536 / 1000) * 10);
  });

  it('a client that goes away ends its capture', async () => {
    const capture = captureOf(Number.POSITIVE_INFINITY);
    await start({ override: { streamCapture: async () => capture.stream } });
    const client = await lab.open();
    client.send('POST /v1/captures/stream HTTP/1.1\r\nhost: weft\r\ncontent-length: 2\r\n\r\n{}');
    await eventually(() => client.received.length > 1_000_000, 'some bytes');
    client.socket.destroy();
    await eventually(() => capture.stopped(), 'the capture is stopped');
    await eventually(() => lab.server.state.streams === 0, 'the stream is gone');
  });

  it('a client that never reads is waited for, holds next to nothing, and is cut off', async () => {
    const capture = captureOf(Number.POSITIVE_INFINITY);
    await start({ override: { streamCapture: async () => capture.stream }, limits: { stallMs: 300 } });
    const client = await lab.open();
    client.socket.pause();
    client.send('POST /v1/captures/stream HTTP/1.1\r\nhost: weft\r\ncontent-length: 2\r\n\r\n{}');
    await eventually(() => capture.given() > 0, 'the capture runs');
    await eventually(() => capture.stopped(), 'it is cut off');
    assert.ok(capture.given() * 65536 < 2_000_000, `${capture.given()} chunks taken for a client that never read`);
    assert.equal(lab.server.state.stalled, 1);
    assert.match((await lab.call('GET', '/metrics')).text, /^weft_api_stalled_total 1$/m);
  });

  it('there is a limit on streams; one too many is refused and what it started is stopped', async () => {
    const captures: ReturnType<typeof captureOf>[] = [];
    const streamCapture: Controller['streamCapture'] = async () => {
      captures.push(captureOf(Number.POSITIVE_INFINITY));
      return captures.at(-1)!.stream;
    };
    await start({ override: { streamCapture }, limits: { streams: 2 } });
    const clients = [await lab.open(), await lab.open()];
    for (const client of clients) client.send(request('/v1/events?follow=true'));
    await eventually(() => lab.server.state.streams === 2, 'two streams');
    const refused = await lab.refused('POST', '/v1/captures/stream', {});
    assert.deepEqual([refused.status, refused.code], [503, 'unavailable']);
    await eventually(() => captures[0]!.stopped(), 'the capture that was started for it');
    clients[0]!.socket.destroy();
    await eventually(() => lab.server.state.streams === 1, 'room for another');
  });

  it('streams end when the daemon does, at once and in order', async () => {
    const times: number[] = [];
    for (let round = 0; round < 3; round++) {
      if (round > 0) await lab.close();
      await start();
      const client = await lab.open();
      client.send(request('/v1/events?follow=true'));
      await eventually(() => lab.server.state.streams === 1, 'the stream');
      const idle = await lab.open();
      const startedAt = performance.now();
      await lab.server.stop();
      times.push(performance.now() - startedAt);
      assert.match(await client.untilClosed(), /\r\n0\r\n\r\n$/);
      await idle.untilClosed();
    }
    // One of three: the machine that runs the tests may have other things to do.
    assert.ok(Math.min(...times) < 900, `nobody waits for the clients: ${times} ms`);
  });
});
