// POST /v1/endpoints/:name/replay: which frames of a capture get into the datapath, when, and what ends a replay.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import type { SchemaTypes } from '../../src/api/schema/catalogue.js';
import { createClient } from '../../src/cli/client.js';
import { ApiLab, eventually } from '../support/api-lab.js';
import { type FilePacket, pcapFile, pcapngFile } from '../support/capture-files.js';
import { ether, ipv4, ipv6, partial, pattern, TCP_CWR, type TestFrame, tcp, udp } from '../support/frame-builders.js';
import { printFrame } from '../support/frame-printer.js';

type Replay = SchemaTypes['Replay'];

const FROM = '02:00:5e:00:00:01';
const TO = '02:00:5e:00:00:02';
const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const V6 = { from: '2001:db8::1', to: '2001:db8::2' };
const NONE = { notSelected: 0, notEthernet: 0, cut: 0, tooShort: 0, tooLong: 0 };
const HOUR_MS = 3_600_000;

describe('API: replay', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    await lab.listen();
  });
  afterEach(() => lab.close());

  function datagram(text: string): Uint8Array {
    return ether({ from: FROM, to: TO }, ipv4(V4, udp(4000, 9, text))).bytes;
  }

  function upload(query: string, input: Readable, endpoint = 'web-back'): Promise<Replay> {
    const path = `/v1/endpoints/${endpoint}/replay${query}`;
    return createClient(lab.socketPath).upload<Replay>({ what: 'cannot replay', method: 'POST', path }, input);
  }

  function replay(query: string, file: Uint8Array): Promise<Replay> {
    return upload(query, Readable.from([file]));
  }

  function injected(): string[] {
    return lab.control.datapath.injected.splice(0).map((frame) => printFrame(frame));
  }

  function plain(...frames: readonly Uint8Array[]): string[] {
    return frames.map((bytes) => printFrame({ bytes, vnet: null }));
  }

  function events(): string[] {
    return lab.controller.eventsSince(0).flatMap(({ type }) => (type.startsWith('replay-') ? [type] : []));
  }

  it('injects every frame of a pcap as it is, at the port of the endpoint, in order', async () => {
    const frames = ['one', 'two', 'three'].map(datagram);
    const done = await replay('', pcapFile(frames.map((bytes) => ({ bytes }))));
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    const { seconds, ...rest } = done;
    assert.deepEqual(rest, {
      endpoint: 'web-back',
      injected: 3,
      bytes,
      superFrames: 0,
      dropped: 0,
      skipped: NONE,
      ended: 'end-of-file',
    });
    assert.ok(seconds >= 0 && seconds < 5);
    const { port } = lab.controller.getEndpoint('web-back');
    assert.ok(lab.control.datapath.injected.every((frame) => frame.port === port));
    assert.deepEqual(injected(), plain(...frames));
    assert.deepEqual(events(), ['replay-started', 'replay-ended']);
  });

  it('takes from a pcapng what had come in or has no direction, unless another direction or interface is asked for', async () => {
    const packets: FilePacket[] = [
      { bytes: datagram('web in'), interfaceIndex: 0, direction: 'in' },
      { bytes: datagram('web out'), interfaceIndex: 0, direction: 'out' },
      { bytes: datagram('db in'), interfaceIndex: 1, direction: 'in' },
      { bytes: datagram('db unknown'), interfaceIndex: 1 },
    ];
    const file = pcapngFile(['web', 'db'], packets);
    const cases: [string, number[]][] = [
      ['', [0, 2, 3]],
      ['?direction=in', [0, 2, 3]],
      ['?direction=out', [1]],
      ['?direction=any', [0, 1, 2, 3]],
      ['?fromInterface=web', [0]],
      ['?fromInterface=db&direction=any', [2, 3]],
      ['?fromInterface=cache', []],
    ];
    for (const [query, wanted] of cases) {
      const done = await replay(query, file);
      assert.deepEqual(injected(), plain(...wanted.map((index) => packets[index]!.bytes)), query);
      assert.deepEqual([done.injected, done.skipped.notSelected], [wanted.length, 4 - wanted.length], query);
    }
  });

  it('makes super-frames of TCP frames that are longer than the MTU', async () => {
    const options = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2);
    const long4 = ether({ from: FROM, to: TO }, ipv4(V4, tcp({ options }, pattern(30_000))));
    const long6 = ether({ from: FROM, to: TO, tags: [7] }, ipv6(V6, tcp({ flags: TCP_CWR }, pattern(60_001))));
    const fits = ether({ from: FROM, to: TO }, ipv4(V4, tcp({}, pattern(1460))));
    const done = await replay('', pcapFile([long4, long6, fits].map(({ bytes }) => ({ bytes }))));
    assert.deepEqual([done.injected, done.superFrames, done.skipped], [3, 2, NONE]);
    const asked = (frame: typeof long4, gsoType: number, gsoSize: number, headerLength: number): TestFrame => {
      const unfinished = partial(frame);
      return { bytes: unfinished.bytes, vnet: { ...unfinished.vnet!, gsoType, gsoSize, headerLength } };
    };
    // 1500 - 20 - 32 and 1500 - 40 - 20; 0x80: the first segment carries CWR.
    const wanted = [asked(long4, 1, 1448, 66), asked(long6, 4 | 0x80, 1440, 78), { bytes: fits.bytes, vnet: null }];
    assert.deepEqual(injected(), wanted.map(printFrame));
  });

  it('skips what it cannot inject, and says why', async () => {
    const long = (payload: Parameters<typeof ipv4>[1], flags = 0x4000) =>
      ether({ from: FROM, to: TO }, ipv4({ ...V4, flags }, payload)).bytes;
    const good = datagram('good');
    const done = await replay(
      '',
      pcapFile([
        { bytes: good.subarray(0, 30), length: good.length },
        { bytes: new Uint8Array(13) },
        { bytes: long(udp(1, 2, pattern(4000))) },
        { bytes: long(tcp({}, pattern(4000)), 0x2000) },
        { bytes: long(tcp({}, pattern(4000))).subarray(0, 3000) },
        { bytes: new Uint8Array(70_000) },
        { bytes: good },
      ]),
    );
    assert.deepEqual([done.injected, done.skipped], [1, { ...NONE, cut: 1, tooShort: 1, tooLong: 4 }]);
    assert.deepEqual(injected(), plain(good));
    const raw = await replay('', pcapFile([{ bytes: good.subarray(14) }], 101));
    assert.deepEqual([raw.injected, raw.skipped], [0, { ...NONE, notEthernet: 1 }]);
  });

  it('keeps the pace of the file, or that times the speed; time that goes backwards is no wait', async () => {
    const offsets = [0, 150, 100, 300];
    const packets = offsets.map((offset, n) => ({ bytes: datagram(`frame ${n}`), atMs: 1.7e12 + offset }));
    const file = pcapFile(packets);
    for (const [query, least] of [
      ['', 0.295],
      ['?speed=2', 0.145],
      ['?speed=0.5', 0.595],
    ] as const) {
      const { seconds } = await replay(query, file);
      assert.ok(seconds >= least, `${query}: ${seconds} s`);
      assert.deepEqual(injected(), plain(...packets.map(({ bytes }) => bytes)));
    }
    const year = pcapFile([...packets, { bytes: datagram('a year later'), atMs: 1.7e12 + 365 * 24 * HOUR_MS }]);
    for (const query of ['?topSpeed=true', '?speed=1000000&count=4']) {
      assert.ok((await replay(query, year)).injected >= 4, 'at top speed nothing is waited for');
      assert.equal(injected()[3], plain(packets[3]!.bytes)[0]);
    }
  });

  it('ends after count frames, although the client goes on sending', async () => {
    const endless = Readable.from(
      (function* () {
        yield pcapFile([]);
        for (;;) yield pcapFile([{ bytes: datagram('again') }]).subarray(24);
      })(),
    );
    const done = await upload('?count=1000&topSpeed=true', endless);
    assert.deepEqual([done.injected, done.ended, injected().length], [1000, 'count', 1000]);
  });

  it('ends on request in the middle of a wait for a frame, and in the middle of a silent upload', async () => {
    const slow = pcapFile([
      { bytes: datagram('now') },
      { bytes: datagram('later'), atMs: Date.UTC(2024, 0, 1) + HOUR_MS },
    ]);
    const silent = new Readable({ read() {} });
    silent.push(pcapFile([{ bytes: datagram('now') }]));
    for (const input of [Readable.from([slow]), silent]) {
      const running = upload('', input);
      await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
      assert.equal((await lab.call('DELETE', '/v1/endpoints/web-back/replay')).status, 204);
      const done = await running;
      assert.deepEqual([done.injected, done.ended], [1, 'stopped']);
      assert.deepEqual(injected(), plain(datagram('now')));
    }
    assert.equal((await lab.refused('DELETE', '/v1/endpoints/web-back/replay')).code, 'not-found');
  });

  it('ends when its endpoint is detached, and when the daemon stops', async () => {
    const file = () =>
      pcapFile([{ bytes: datagram('now') }, { bytes: datagram('soon'), atMs: Date.UTC(2024, 0, 1) + 300 }]);
    const detached = upload('', Readable.from([file()]));
    await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
    await lab.controller.detachEndpoint('web-back');
    await assert.rejects(detached, /endpoint web-back was detached, moved or deleted/);
    assert.equal(injected().length, 1);

    await lab.controller.attachEndpoint('web-back', 'web');
    const later = pcapFile([
      { bytes: datagram('now') },
      { bytes: datagram('later'), atMs: Date.UTC(2024, 0, 1) + HOUR_MS },
    ]);
    const stopped = upload('', Readable.from([later]));
    await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
    await lab.server.stop();
    assert.equal((await stopped).ended, 'stopped');
  });

  it('ends when its client goes away, and another may begin', async () => {
    const client = await lab.open();
    client.send('POST /v1/endpoints/web-back/replay HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    const file = pcapFile([{ bytes: datagram('first') }]);
    client.socket.write(Buffer.concat([Buffer.from(`${file.length.toString(16)}\r\n`), file, Buffer.from('\r\n')]));
    await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
    const busy = await lab.refused('POST', '/v1/endpoints/web-back/replay', 'x', OCTETS);
    assert.deepEqual([busy.code, busy.detail], ['conflict', 'a capture is being replayed into endpoint web-back']);
    client.socket.destroy();
    await eventually(() => events().includes('replay-ended'), 'the replay ends');
    assert.equal((await replay('', file)).injected, 1);
    assert.deepEqual(lab.log, []);
  });

  it('ends when its client goes away that has sent everything, in the middle of a wait for a frame', async () => {
    const client = await lab.open();
    const bytes = datagram('first');
    const file = pcapFile([{ bytes }, { bytes, atMs: Date.UTC(2024, 0, 1) + HOUR_MS }]);
    const head = `POST /v1/endpoints/web-back/replay HTTP/1.1\r\nhost: x\r\ncontent-length: ${file.length}\r\n\r\n`;
    client.socket.write(Buffer.concat([Buffer.from(head), file]));
    await eventually(() => lab.control.datapath.injected.length === 1, 'the first frame is in');
    await lab.controller.deleteEndpoint('web-back');
    client.socket.destroy();
    await eventually(() => events().includes('replay-ended'), 'the replay ends');
    assert.deepEqual(lab.log, []);
  });

  it('may take longer than any other request, and be silent for longer than any other connection', async () => {
    const impatient = await ApiLab.start({ limits: { requestMs: 150, headersMs: 100, stallMs: 150, checkMs: 20 } });
    try {
      await impatient.populate();
      await impatient.listen();
      const packets = [0, 600].map((offset) => ({ bytes: datagram('slow'), atMs: Date.UTC(2024, 0, 1) + offset }));
      const call = { what: 'cannot replay', method: 'POST', path: '/v1/endpoints/web-back/replay' } as const;
      const done = await createClient(impatient.socketPath).upload<Replay>(call, Readable.from([pcapFile(packets)]));
      assert.equal(done.injected, 2);
      const silent = new Readable({ read() {} });
      silent.push(pcapFile(packets.slice(0, 1)));
      const waiting = createClient(impatient.socketPath).upload<Replay>(call, silent);
      await eventually(() => impatient.control.datapath.injected.length === 3, 'the first frame is in');
      await new Promise((resolve) => setTimeout(resolve, 500));
      silent.push(null);
      assert.equal((await waiting).injected, 1);
    } finally {
      await impatient.close();
    }
  });

  it('cuts off a client that goes on sending long after its answer', async () => {
    const impatient = await ApiLab.start({ limits: { requestMs: 150, headersMs: 100, checkMs: 20 } });
    try {
      await impatient.listen();
      const client = await impatient.open();
      client.send('POST /v1/endpoints/nobody/replay HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nsome');
      assert.match(await client.untilClosed(), /^HTTP\/1\.1 404 /);
    } finally {
      await impatient.close();
    }
  });

  it('runs sixteen at a time, each into its own endpoint', async () => {
    const names = Array.from({ length: 17 }, (_, n) => `many-${n}`);
    for (const name of names) await lab.controller.createEndpoint({ name, network: 'back', compartment: 'web' });
    const inputs = names.slice(0, 16).map((name) => {
      const input = new Readable({ read() {} });
      input.push(pcapFile([{ bytes: datagram(name) }]));
      return input;
    });
    const running = inputs.map((input, n) => upload('', input, names[n]));
    await eventually(() => lab.control.datapath.injected.length === 16, 'all are under way');
    const refusal = await lab.refused('POST', '/v1/endpoints/many-16/replay', 'x', OCTETS);
    assert.deepEqual([refusal.code, refusal.detail], ['exhausted', '16 replays run already']);
    for (const input of inputs) input.push(null);
    assert.deepEqual(
      (await Promise.all(running)).map(({ endpoint, injected }) => [endpoint, injected]),
      names.slice(0, 16).map((name) => [name, 1]),
    );
    const ports = new Map(names.map((name) => [datagram(name).toString(), lab.controller.getEndpoint(name).port]));
    for (const { bytes, port } of lab.control.datapath.injected) assert.equal(port, ports.get(bytes.toString()));
  });

  it('reads no faster than the datapath takes the frames', async () => {
    const { datapath } = lab.control;
    datapath.isDeaf = true;
    const frames = 20_000;
    const bytes = ether({ from: FROM, to: TO }, ipv4(V4, udp(4000, 9, pattern(1400)))).bytes;
    let produced = 0;
    const input = Readable.from(
      (function* () {
        yield pcapFile([]);
        for (; produced < frames; produced++) yield pcapFile([{ bytes }]).subarray(24);
      })(),
    );
    const running = upload('?topSpeed=true', input);
    let before = -1;
    await eventually(() => {
      const isStill = produced === before && produced > 0;
      before = produced;
      return isStill;
    }, 'the client stops sending');
    assert.ok(produced < 8000, `${produced} of ${frames} frames were read while nobody took one`);
    datapath.hear();
    assert.equal((await running).injected, frames);
    assert.equal(injected().length, frames);
  });

  it('reports a file that is damaged or cut after it has injected what comes before', async () => {
    const file = pcapFile([{ bytes: datagram('one') }, { bytes: datagram('two') }]);
    await assert.rejects(replay('', file.subarray(0, file.length - 5)), /cut short .*injected before that: 1;/);
    assert.deepEqual(injected(), plain(datagram('one')));
    await assert.rejects(replay('', Buffer.from('this is no capture')), /neither pcapng nor pcap/);
    await assert.rejects(replay('', Buffer.alloc(0)), /empty/);
  });

  it('refuses endpoints that are not there or not attached, other content types, and wrong queries', async () => {
    const path = '/v1/endpoints/web-back/replay';
    assert.equal((await lab.refused('POST', '/v1/endpoints/nobody/replay', 'x', OCTETS)).code, 'not-found');
    assert.equal((await lab.refused('POST', path, '{}')).code, 'unsupported-media-type');
    for (const query of ['speed=0', 'speed=-1', 'speed=fast', 'speed=1e9', 'direction=up', 'count=0', 'loop=2']) {
      const refusal = await lab.refused('POST', `${path}?${query}`, 'x', OCTETS);
      assert.deepEqual([refusal.code, refusal.problems.length], ['invalid-request', 1], query);
    }
    await lab.controller.detachEndpoint('web-back');
    const refusal = await lab.refused('POST', path, 'x', OCTETS);
    assert.deepEqual([refusal.code, refusal.detail], ['conflict', 'endpoint web-back is not attached']);
    assert.deepEqual(lab.log, []);
  });
});

const OCTETS = { 'content-type': 'application/octet-stream' };
