// What the kernel answers when it does not take or give frames: every errno has a reason, nothing stops, nothing is lost
// from the books.
import { strict as assert } from 'node:assert';
import { constants } from 'node:os';
import type { DropName } from '../../src/datapath/drop-reasons.js';
import { BROADCAST, ether, pattern } from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { CACHE, DB, message, WEB } from './stations.js';

const { errno } = constants;
/** Linux, "File descriptor in bad state": Node's table lacks it. */
const EBADFD = 77;

const REASONS: Record<string, [number, DropName]> = {
  EIO: [errno.EIO, 'port-down'],
  ENETDOWN: [errno.ENETDOWN, 'port-down'],
  ENXIO: [errno.ENXIO, 'port-gone'],
  EBADF: [errno.EBADF, 'port-gone'],
  ENODEV: [errno.ENODEV, 'port-gone'],
  EBADFD: [EBADFD, 'port-gone'],
  EAGAIN: [errno.EAGAIN, 'queue-full'],
  ENOMEM: [errno.ENOMEM, 'queue-full'],
  ENOBUFS: [errno.ENOBUFS, 'queue-full'],
  EINVAL: [errno.EINVAL, 'refused'],
  EMSGSIZE: [errno.EMSGSIZE, 'refused'],
  EPERM: [errno.EPERM, 'refused'],
};

describe('failures: transmit', () => {
  for (const [name, [code, reason]] of Object.entries(REASONS)) {
    it(`counts ${name} as ${reason}`, () => {
      const lab = createLab({ ports: ['web', 'db'] });
      lab.io.port(lab.index('db')).transmitErrno = code;
      lab.send('web', message(WEB, DB, 'x'));
      lab.expect({}, { [reason]: 1 });
      assert.equal(lab.total('forwarded'), 1, 'the frame was forwarded, its departure was lost');
      assert.equal(lab.total('transmitDropped'), 1);
    });
  }

  it('at one port does not keep a flood from the others', () => {
    const lab = createLab({ ports: ['web', 'a', 'b', 'c'] });
    lab.io.port(lab.index('b')).transmitErrno = errno.EIO;
    const hello = message(WEB, BROADCAST, 'x');
    lab.send('web', hello, hello);
    lab.expect({ a: [hello, hello], c: [hello, hello] }, { 'port-down': 2 });
  });

  it('ends when the port takes frames again', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const port = lab.io.port(lab.index('db'));
    port.transmitErrno = errno.EIO;
    lab.send('web', message(WEB, DB, 'lost'));
    lab.expect({}, { 'port-down': 1 });
    port.transmitErrno = 0;
    const next = message(WEB, DB, 'arrives');
    lab.send('web', next);
    lab.expect({ db: [next] });
  });
});

describe('failures: receive', () => {
  it('of one port is reported, and the others are served', () => {
    const lab = createLab({ ports: ['web', 'db', 'broken'] });
    lab.io.port(lab.index('broken')).receiveErrno = EBADFD;
    const hello = message(WEB, BROADCAST, 'x');
    lab.queue('web', hello);
    lab.datapath.turn(0);
    assert.deepEqual(lab.datapath.faults.splice(0), [lab.index('broken'), EBADFD]);
    lab.io.port(lab.index('broken')).receiveErrno = 0;
    lab.expect({ db: [hello], broken: [hello] });
  });

  it('is reported for a port that hung up, once all that it had is read', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const web = lab.io.port(lab.index('web'));
    web.hasHungUp = true;
    const hello = message(WEB, BROADCAST, 'last words');
    lab.queue('web', hello);
    lab.datapath.turn(0);
    assert.deepEqual(lab.datapath.faults, []);
    lab.datapath.turn(0);
    assert.deepEqual(lab.datapath.faults.splice(0), [lab.index('web'), 0]);
    web.hasHungUp = false;
    lab.expect({ db: [hello] });
  });

  it('of a port that was detached meanwhile does not strike the next one on its row', () => {
    const lab = createLab({ mtu: 65521, ports: ['a', 'b', 'c', 'd', 'e'] });
    const large = ether({ from: WEB, to: DB }, pattern(65000));
    for (const name of ['a', 'b', 'c', 'd']) lab.queue(name, large, large, large);
    const last = lab.index('e');
    lab.io.port(last).hasHungUp = true;
    lab.datapath.turn(0);
    assert.deepEqual(lab.datapath.faults, [], 'the burst was full before the ready list was at its end');
    lab.io.attach(last, 12);
    lab.datapath.portsChanged();
    lab.run();
    assert.deepEqual(lab.datapath.faults, []);
    lab.ignoreDepartures();
  });

  it('is not the wake-up of the control thread, which costs no frame', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const hello = message(CACHE, BROADCAST, 'x');
    lab.io.ring();
    lab.queue('web', hello);
    assert.equal(lab.datapath.isWoken, false);
    lab.datapath.turn(0);
    assert.equal(lab.datapath.isWoken, true);
    lab.datapath.isWoken = false;
    lab.run();
    assert.equal(lab.datapath.isWoken, false);
    lab.expect({ db: [hello] });
  });
});

describe('a turn that floods to many ports', () => {
  it('makes the next ones shorter, so that the control thread is heard, and short turns make them longer again', () => {
    const ports = Array.from({ length: 400 }, (_, i) => `p${i}`);
    const lab = createLab({ ports: ['web', ...ports] });
    const hello = message(WEB, BROADCAST, 'x');
    const taken = () => {
      lab.datapath.turn(0);
      return lab.total('arrivals');
    };
    lab.queue('web', ...Array.from({ length: 600 }, () => hello));
    const arrivals = Array.from({ length: 8 }, taken);
    const perTurn = arrivals.map((total, i) => total - (arrivals[i - 1] ?? 0));
    assert.deepEqual(perTurn, [256, 128, 64, 32, 16, 8, 16, 8]);
    lab.run();
    assert.equal(lab.total('departures'), 600 * 400);
    lab.ignoreDepartures();
    const quiet = message(CACHE, WEB, 'x');
    lab.queue('p0', ...Array.from({ length: 2000 }, () => quiet));
    for (let i = 0; i < 6; i++) lab.datapath.turn(0);
    const before = lab.total('arrivals');
    assert.equal(taken() - before, 256);
    lab.run();
    lab.ignoreDepartures();
  });
});
