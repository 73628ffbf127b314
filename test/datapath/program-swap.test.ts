// Another program, swapped in while traffic flows: what it says holds from the next turn on, and nothing that was learned
// for a port outlives it.
import { strict as assert } from 'node:assert';
import { BROADCAST } from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { CACHE, DB, message, STRANGER, WEB } from './stations.js';

describe('program swap', () => {
  it('holds from the next turn on, in the middle of a backlog', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const frames = Array.from({ length: 1000 }, (_, i) => message(WEB, DB, `${i}`));
    lab.queue('web', ...frames);
    lab.datapath.turn(0);
    const before = lab.take('db').length;
    assert.ok(before > 0 && before < 1000);
    lab.change({ ports: ['web', 'db', 'cache'] });
    lab.run();
    lab.expect({ db: frames.slice(before), cache: frames.slice(before) });
    assert.equal(lab.datapath.program.version, 2);
  });

  it('keeps what was learned on ports that stay', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    lab.send('db', message(DB, STRANGER, 'here'));
    lab.ignoreDepartures();
    lab.change({ mtu: 9000, ports: { web: {}, db: { isolated: true }, cache: {} } });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('forgets the stations of a port that is gone, and drops what still comes from it', () => {
    const lab = createLab({ ports: ['web', 'cache', 'db'] });
    lab.send('db', message(DB, STRANGER, 'here'));
    lab.ignoreDepartures();
    const db = lab.io.port(lab.index('db'));
    lab.change({ ports: ['web', 'cache'] });
    db.arrivals.push(message(DB, WEB, 'from beyond'));
    lab.run();
    lab.expect({}, { 'unknown-port': 1 });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ cache: [question] });
  });

  it('drops what comes from a free row between others', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const web = lab.io.port(lab.index('web'));
    lab.change({ ports: ['db', 'cache'] });
    web.arrivals.push(message(WEB, BROADCAST, 'from beyond'));
    lab.run();
    lab.expect({}, { 'unknown-port': 1 });
  });

  it('forgets the stations of a row that is given to another endpoint at once', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    lab.send('db', message(DB, STRANGER, 'here'));
    lab.ignoreDepartures();
    lab.change({ ports: ['web', 'other', 'cache'] });
    assert.equal(lab.index('other'), 1, 'the row is reused');
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ other: [question], cache: [question] });
  });

  it('forgets the stations of a port that moves to another network', () => {
    const networks = { red: {} };
    const lab = createLab({ ports: { web: {}, db: {}, red: { network: 'red' } }, networks });
    const hello = message(DB, BROADCAST, 'here');
    lab.send('db', hello);
    lab.expect({ web: [hello] });
    lab.change({ ports: { web: {}, db: { network: 'red' }, red: { network: 'red' } }, networks });
    lab.send('web', message(WEB, DB, 'who?'));
    lab.expect({}, { 'no-destination': 1 });
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`]);
    lab.send('db', hello);
    lab.expect({ red: [hello] });
  });

  it('starts with nothing: without a program every frame is from an unknown port', () => {
    const lab = createLab({ ports: [] });
    lab.io.attach(7, 12);
    lab.io.port(7).arrivals.push(message(WEB, DB, 'x'));
    lab.run();
    lab.expect({}, { 'unknown-port': 1 });
  });

  it('survives a thousand swaps under traffic', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    let delivered = 0;
    for (let i = 0; i < 1000; i++) {
      const names = ['web', 'db', ...(i % 2 === 0 ? ['cache'] : []), ...(i % 3 === 0 ? ['red'] : [])];
      lab.change({ ports: Object.fromEntries(names.map((n) => [n, n === 'red' ? { vlan: 3 } : {}])), mtu: 1500 + i });
      lab.send('web', message(WEB, i % 5 === 0 ? BROADCAST : DB, `${i}`));
      lab.send('db', message(DB, WEB, `${i}`));
      if (names.includes('cache')) lab.send('cache', message(CACHE, DB, `${i}`));
      delivered += lab.take('db').length;
      lab.ignoreDepartures();
    }
    assert.equal(delivered, 1500);
  });
});
