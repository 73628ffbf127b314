// TAP devices: what opening promises, what the kernel shows of them, and every way in which one can go away under us.

import { strict as assert } from 'node:assert';
import { setTimeout } from 'node:timers/promises';
import {
  MAX_JOINED_ROWS,
  native,
  OFFLOAD_CHECKSUM,
  OFFLOAD_TSO4,
  OFFLOAD_TSO6,
  OFFLOAD_USO4,
  OFFLOAD_USO6,
  PORT_TAP,
  READY_ERROR,
  TAP_EXCLUSIVE,
  TAP_EXISTING,
  TAP_MULTI_QUEUE,
  TAP_PERSIST,
  TAP_VNET_HEADER,
} from '../../src/native/index.js';
import { content, setPeer } from './burst-data.js';
import { type BoundBurst, bind } from './forwarder.js';
import { configure, ip, Lab, link, needsRoot, ok } from './lab.js';

const [EIO, ENODEV, EBUSY, EEXIST, EINVAL, EBADFD] = [5, 19, 16, 17, 22, 77];
const FRAME_BYTES = 60;
const NOBODY = { family: 0, port: 0, scope: 0, address: '', segmentBytes: 0 };

function exists(namespace: string, ifname: string): boolean {
  return (JSON.parse(ip(namespace, '-json', 'link', 'show')) as { ifname: string }[]).some((l) => l.ifname === ifname);
}

/** Sends one broadcast frame with an empty vnet header to that port; 0 or -errno. */
function sendFrame(burst: BoundBurst, port: number): number {
  burst.slab.fill(0, 0, 12 + FRAME_BYTES);
  burst.slab.fill(0xff, 12, 18);
  burst.slab.set([0x02, 0, 0, 0, 0, 1, 0x88, 0xb5], 18);
  burst.txPort[0] = port;
  burst.txHeadBytes[0] = 0;
  burst.txBodyAt[0] = 0;
  burst.txBodyBytes[0] = 12 + FRAME_BYTES;
  const sent = native.transmitBurst(0, 1);
  assert.equal(sent, burst.txResult[0] === 0 ? 1 : 0);
  return burst.txResult[0]!;
}

/** Identity of a namespace descriptor as text. */
function identity(fd: number): string {
  const out = new Float64Array(2);
  ok(native.namespaceIdentity(fd, out));
  return out.join(':');
}

describe('native: TAP devices', () => {
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('opens a device in the given namespace and leaves the caller where it was', () => {
    const ns = lab.namespace();
    const home = lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'own namespace');
    const before = identity(home);
    lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    assert.ok(exists(ns.name, 'tap0'));
    const after = lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'own namespace');
    assert.equal(identity(after), before);
    assert.notEqual(identity(ns.fd), before);
  });

  it('tells exclusive from existing', () => {
    const { fd: ns } = lab.namespace();
    assert.equal(native.openTap(ns, 'tap0', TAP_EXISTING), -ENODEV);
    lab.tap(ns, 'tap0', TAP_EXCLUSIVE);
    assert.equal(native.openTap(ns, 'tap0', TAP_EXCLUSIVE), -EEXIST);
    assert.equal(native.openTap(ns, 'lo', TAP_EXCLUSIVE), -EEXIST);
    assert.equal(native.openTap(ns, 'tap0', TAP_EXISTING), -EBUSY, 'somebody is attached');
    assert.equal(native.openTap(ns, 'tap0', TAP_EXISTING | TAP_EXCLUSIVE), -EINVAL);
    assert.equal(native.openTap(ns, 'sixteen-letters-', 0), -EINVAL);
  });

  it('attaches several queues', () => {
    const { fd: ns } = lab.namespace();
    lab.tap(ns, 'tap0', TAP_MULTI_QUEUE | TAP_EXCLUSIVE);
    lab.tap(ns, 'tap0', TAP_MULTI_QUEUE | TAP_EXISTING);
  });

  it('is UP while attached and carrying, DOWN otherwise', () => {
    const ns = lab.namespace();
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    configure(ns.name, 'tap0');
    assert.equal(link(ns.name, 'tap0').operstate, 'UP');
    ok(native.setTapCarrier(fd, 0));
    assert.equal(link(ns.name, 'tap0').operstate, 'DOWN');
    ok(native.setTapCarrier(fd, 1));
    assert.equal(link(ns.name, 'tap0').operstate, 'UP');
  });

  it('persists over a close and can be adopted again', () => {
    const ns = lab.namespace();
    const first = ok(native.openTap(ns.fd, 'tap0', TAP_VNET_HEADER | TAP_PERSIST | TAP_EXCLUSIVE));
    configure(ns.name, 'tap0', '192.0.2.1/24');
    ok(native.closeFd(first));
    assert.equal(link(ns.name, 'tap0').operstate, 'DOWN');
    const second = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER | TAP_EXISTING);
    assert.equal(link(ns.name, 'tap0').operstate, 'UP');
    assert.match(ip(ns.name, 'address', 'show', 'tap0'), /192\.0\.2\.1\/24/);
    ok(native.setTapPersist(second, 0));
    ok(native.closeFd(second));
    assert.ok(!exists(ns.name, 'tap0'));
  });

  it('accepts offloads one by one, and none without a vnet header', () => {
    const { fd: ns } = lab.namespace();
    const fd = lab.tap(ns, 'tap0', TAP_VNET_HEADER);
    const basic = OFFLOAD_CHECKSUM | OFFLOAD_TSO4 | OFFLOAD_TSO6;
    assert.equal(native.probeTapOffloads(fd, basic), basic);
    assert.equal(native.probeTapOffloads(fd, OFFLOAD_TSO4), 0, 'segmentation needs checksums');
    assert.equal(native.probeTapOffloads(fd, OFFLOAD_CHECKSUM | OFFLOAD_USO4), OFFLOAD_CHECKSUM, 'USO comes in pairs');
    const udp = ok(native.probeTapOffloads(fd, basic | OFFLOAD_USO4 | OFFLOAD_USO6));
    assert.ok(udp === basic || udp === (basic | OFFLOAD_USO4 | OFFLOAD_USO6));
    assert.equal(native.probeTapOffloads(fd, 0), 0);
    assert.equal(native.probeTapOffloads(lab.tap(ns, 'tap1', 0), OFFLOAD_CHECKSUM), -EINVAL);
  });

  it('knows its name after a rename and its namespace after a move', () => {
    const [ns, other] = [lab.namespace(), lab.namespace()];
    const fd = lab.tap(ns.fd, 'tap0', 0);
    assert.equal(native.tapName(fd), 'tap0');
    ip(ns.name, 'link', 'set', 'tap0', 'name', 'eth7');
    assert.equal(native.tapName(fd), 'eth7');
    assert.equal(identity(lab.keep(native.tapNamespace(fd), 'tapNamespace')), identity(ns.fd));
    ip(ns.name, 'link', 'set', 'eth7', 'netns', other.name);
    assert.equal(identity(lab.keep(native.tapNamespace(fd), 'tapNamespace')), identity(other.fd));
    assert.equal(native.tapName(fd), 'eth7');
  });

  it('reports the link speed it is told', async () => {
    const ns = lab.namespace();
    lab.tap(ns.fd, 'tap0', 0);
    configure(ns.name, 'tap0');
    ok(native.setLinkSpeed(ns.fd, 'tap0', 40_000));
    const { stdout } = await lab.run(ns.name, 'cat', ['/sys/class/net/tap0/speed', '/sys/class/net/tap0/duplex']);
    assert.deepEqual(stdout.split('\n'), ['40000', 'full', '']);
    assert.equal(native.setLinkSpeed(ns.fd, 'none0', 10), -ENODEV);
  });

  it('answers -EIO while the interface is down, and works again when it is up', () => {
    const ns = lab.namespace();
    const burst = bind(4, 1 << 18);
    lab.port(0, lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER), PORT_TAP, 12);
    assert.equal(sendFrame(burst, 0), -EIO);
    configure(ns.name, 'tap0');
    assert.equal(sendFrame(burst, 0), 0);
    ip(ns.name, 'link', 'set', 'tap0', 'down');
    assert.equal(sendFrame(burst, 0), -EIO);
    assert.equal(native.receiveBurst(0, 0, 4, 0, 1 << 18) >= 0, true);
    ip(ns.name, 'link', 'set', 'tap0', 'up');
    assert.equal(sendFrame(burst, 0), 0);
  });

  it('refuses a malformed vnet header with an error in its row and goes on with the next row', () => {
    const ns = lab.namespace();
    const burst = bind(4, 1 << 18);
    lab.port(0, lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER), PORT_TAP, 12);
    configure(ns.name, 'tap0');
    sendFrame(burst, 0);
    burst.slab.fill(0xff, 1000, 1012); // a vnet header of nonsense
    for (const [row, at, bytes] of [
      [0, 1000, 200],
      [1, 0, 12 + FRAME_BYTES],
      [2, 0, 5],
      [3, 0, 12 + FRAME_BYTES],
    ] as const) {
      burst.txPort[row] = row === 3 ? 99 : 0;
      burst.txBodyAt[row] = at;
      burst.txBodyBytes[row] = bytes;
    }
    assert.equal(native.transmitBurst(0, 4), 1);
    assert.deepEqual([...burst.txResult.slice(0, 4)], [-EINVAL, 0, -EINVAL, -ENODEV]);
  });

  it('writes rows that continue each other as one frame, of all of them or of none', () => {
    const ns = lab.namespace();
    const burst = bind(MAX_JOINED_ROWS + 4, 1 << 18);
    const [near, far] = ['tap0', 'tap1'].map((name) => lab.tap(ns.fd, name, TAP_VNET_HEADER)) as [number, number];
    for (const [port, fd] of [near, far].entries()) lab.port(port, fd, PORT_TAP, 12);
    ip(ns.name, 'link', 'add', 'bridge', 'type', 'bridge', 'mcast_snooping', '0');
    for (const name of ['bridge', 'tap0', 'tap1']) {
      configure(ns.name, name);
      if (name !== 'bridge') ip(ns.name, 'link', 'set', name, 'master', 'bridge');
    }
    sendFrame(burst, 0);
    const begin = (row: number, port = 0): void => {
      setPeer(burst.txPeer, row, { ...NOBODY, continues: false });
      burst.txPort[row] = port;
      [burst.txHeadBytes[row], burst.txBodyAt[row], burst.txBodyBytes[row]] = [0, 0, 12 + FRAME_BYTES];
    };
    const go = (row: number, port = 0): void => {
      setPeer(burst.txPeer, row, { ...NOBODY, continues: true });
      burst.slab.set(content(row, 30), 1000 + row * 30);
      burst.txPort[row] = port;
      [burst.txHeadAt[row], burst.txHeadBytes[row]] = [1000 + row * 30, 10];
      [burst.txBodyAt[row], burst.txBodyBytes[row]] = [1010 + row * 30, 20];
    };
    const results = (rows: number): number[] => [...burst.txResult.slice(0, rows)];

    begin(0);
    go(1);
    go(2);
    begin(3);
    assert.deepEqual([native.transmitBurst(0, 4), ...results(4)], [4, 0, 0, 0, 0]);
    const received: Buffer[] = [];
    for (let turn = 0; turn < 20 && received.length < 3; turn++) {
      native.wait(100_000);
      const count = ok(native.receiveBurst(1, 0, 4, 1 << 17, 1 << 18));
      for (let row = 0; row < count; row++) {
        const frame = Buffer.from(burst.slab.slice(burst.rxStart[row], burst.rxStart[row]! + burst.rxLength[row]!));
        if (frame.readUInt16BE(12) === 0x88b5) received.push(frame);
      }
    }
    const alone = Buffer.from(burst.slab.slice(12, 12 + FRAME_BYTES));
    assert.deepEqual(received, [alone, Buffer.concat([alone, content(1, 30), content(2, 30)]), alone]);

    begin(0);
    go(1);
    burst.txBodyAt[1] = 1 << 18; // outside
    go(2);
    begin(3);
    go(4, 1); // another port
    assert.deepEqual([native.transmitBurst(0, 5), ...results(5)], [0, ...Array<number>(5).fill(-EINVAL)]);
    go(0);
    begin(1);
    begin(2, 99);
    go(3);
    assert.deepEqual([native.transmitBurst(0, 4), ...results(4)], [1, -EINVAL, 0, -ENODEV, -EINVAL], 'more of nothing');
    begin(0);
    for (let row = 1; row <= MAX_JOINED_ROWS; row++) go(row);
    assert.equal(native.transmitBurst(0, MAX_JOINED_ROWS + 1), 0);
    assert.deepEqual(results(MAX_JOINED_ROWS + 1), Array<number>(MAX_JOINED_ROWS + 1).fill(-EINVAL), 'too many');
    assert.equal(native.transmitBurst(0, MAX_JOINED_ROWS), MAX_JOINED_ROWS);
  });

  it('survives the deletion of the device', () => {
    const ns = lab.namespace();
    const burst = bind(4, 1 << 18);
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    lab.port(5, fd, PORT_TAP, 12);
    configure(ns.name, 'tap0');
    ip(ns.name, 'link', 'delete', 'tap0');
    assert.equal(native.wait(100_000), 1);
    assert.equal(burst.ready[0], 5 | READY_ERROR);
    assert.equal(native.receiveBurst(5, 0, 4, 0, 1 << 18), -EBADFD);
    assert.equal(sendFrame(burst, 5), -EBADFD);
    assert.equal(native.tapName(fd), -EBADFD);
    assert.equal(native.tapNamespace(fd), -EBADFD);
    assert.equal(native.setTapCarrier(fd, 1), -EBADFD);
    assert.equal(native.removePort(5), 0);
    assert.equal(native.wait(0), 0);
    assert.equal(native.closeFd(fd), 0);
  });

  it('survives the end of the namespace the device was moved to', async function () {
    this.timeout(120_000);
    const [ns, other] = [lab.namespace(), lab.namespace()];
    const burst = bind(4, 1 << 18);
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    lab.port(1, fd, PORT_TAP, 12);
    ip(ns.name, 'link', 'set', 'tap0', 'netns', other.name);
    configure(other.name, 'tap0');
    assert.equal(sendFrame(burst, 1), 0);
    native.closeFd(other.fd);
    ok(native.removeNamespace(other.path));
    let error = 0;
    for (let turn = 0; turn < 50 && error !== -EBADFD; turn++) {
      await setTimeout(100); // the kernel dismantles a namespace in the background
      error = sendFrame(burst, 1);
    }
    assert.equal(error, -EBADFD);
    assert.equal(native.removePort(1), 0);
    assert.equal(native.closeFd(fd), 0);
  });

  it('keeps its own namespace alive when the name of that is removed, until it is closed', () => {
    const ns = lab.namespace();
    const burst = bind(4, 1 << 18);
    const fd = lab.tap(ns.fd, 'tap0', TAP_VNET_HEADER);
    lab.port(1, fd, PORT_TAP, 12);
    configure(ns.name, 'tap0');
    const name = identity(ns.fd);
    native.closeFd(ns.fd);
    ok(native.removeNamespace(ns.path));
    assert.equal(sendFrame(burst, 1), 0);
    assert.equal(identity(lab.keep(native.tapNamespace(fd), 'tapNamespace')), name);
    assert.equal(native.removePort(1), 0);
    assert.equal(native.closeFd(fd), 0);
  });
});
