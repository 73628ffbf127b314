// The learning switch: who gets a frame, and for how long that holds.
import { strict as assert } from 'node:assert';
import { BROADCAST, ether, numberedMac } from '../support/frame-builders.js';
import { createLab, minutes, seconds } from '../support/lab.js';
import { CACHE, DB, GROUP, message, STRANGER, WEB } from './stations.js';

describe('switch: learning', () => {
  it('floods to an unknown destination, and never back to the sender', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ db: [question], cache: [question] });
  });

  it('no longer floods to a destination that it heard', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const question = message(WEB, DB, 'who?');
    const answer = message(DB, WEB, 'me');
    lab.send('web', question);
    lab.expect({ db: [question], cache: [question] });
    lab.send('db', answer);
    lab.expect({ web: [answer] });
    lab.send('web', question);
    lab.expect({ db: [question] });
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`, `0 ${DB} db`].sort());
  });

  it('forgets a station after 300 s of silence, unless the network says otherwise', () => {
    for (const [ageingSeconds, settings] of [
      [300, {}],
      [20, { ageingSeconds: 20 }],
    ] as const) {
      const lab = createLab({ ...settings, ports: ['web', 'db', 'cache'] });
      const hello = message(WEB, STRANGER, 'hello');
      const answer = message(DB, WEB, 'me');
      lab.send('web', hello);
      lab.expect({ db: [hello], cache: [hello] });
      lab.advance(seconds(ageingSeconds) - 1);
      lab.send('db', answer);
      lab.expect({ web: [answer] });
      lab.advance(1);
      lab.send('db', answer);
      lab.expect({ web: [answer], cache: [answer] });
    }
  });

  it('keeps a station that goes on talking', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const hello = message(WEB, BROADCAST, 'here');
    const answer = message(DB, WEB, 'me');
    for (let i = 0; i < 5; i++) {
      lab.send('web', hello);
      lab.expect({ db: [hello], cache: [hello] });
      lab.advance(minutes(4));
    }
    lab.send('db', answer);
    lab.expect({ web: [answer] });
  });

  it('empties the table of stations that fell silent, without being asked', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    lab.send('web', message(WEB, BROADCAST, 'here'));
    lab.take('db');
    assert.equal(lab.macTable().length, 1);
    lab.advance(minutes(5));
    for (let turn = 0; turn < 600; turn++) {
      lab.advance(100);
      lab.datapath.turn(0);
    }
    assert.deepEqual(lab.macTable(), [], 'within a minute after its time');
    assert.equal(lab.total('macs'), 0);
  });

  it('follows a station that moves, with its first frame', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const hello = message(WEB, BROADCAST, 'here');
    const answer = message(DB, WEB, 'me');
    lab.send('web', hello);
    lab.expect({ db: [hello], cache: [hello] });
    lab.send('cache', hello);
    lab.expect({ web: [hello], db: [hello] });
    lab.send('db', answer);
    lab.expect({ cache: [answer] });
    assert.equal(lab.total('macMoves'), 1);
  });

  it('follows a station that moves within one burst', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const answer = message(DB, WEB, 'me');
    lab.queue('web', message(WEB, STRANGER, '1'));
    lab.queue('db', message(WEB, STRANGER, '2'));
    lab.queue('cache', answer);
    lab.run();
    lab.expect({
      web: [message(WEB, STRANGER, '2')],
      db: [message(WEB, STRANGER, '1'), answer],
      cache: [message(WEB, STRANGER, '1'), message(WEB, STRANGER, '2')],
    });
  });

  it('drops what is for a station behind the same port', () => {
    const lab = createLab({ ports: ['bridge', 'db'] });
    const hello = message(DB, BROADCAST, 'behind');
    lab.send('bridge', hello);
    lab.expect({ db: [hello] });
    lab.send('bridge', message(WEB, DB, 'local'));
    lab.expect({}, { 'same-port': 1 });
  });

  it('refuses senders that are groups or nobody, and learns nothing from them', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    for (const from of [BROADCAST, GROUP, '00:00:00:00:00:00']) lab.send('web', message(from, DB, 'fake'));
    lab.expect({}, { 'invalid-source': 3 });
    assert.deepEqual(lab.macTable(), []);
  });

  it('keeps networks apart, even with the same stations', () => {
    const lab = createLab({
      ports: { web: {}, db: {}, 'red-web': { network: 'red' }, 'red-db': { network: 'red' } },
      networks: { red: {} },
    });
    const hello = message(WEB, BROADCAST, 'blue');
    const redHello = message(WEB, BROADCAST, 'red');
    lab.send('web', hello);
    lab.send('red-db', redHello);
    lab.expect({ db: [hello], 'red-web': [redHello] });
    const answer = message(DB, WEB, 'me');
    lab.send('db', answer);
    lab.expect({ web: [answer] });
    lab.send('red-web', answer);
    lab.expect({ 'red-db': [answer] });
  });

  it('sends a known destination to its port whatever other frames of the burst did', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    lab.send('db', message(DB, STRANGER, 'here'));
    lab.send('cache', message(CACHE, STRANGER, 'here'));
    lab.ignoreDepartures();
    const toDb = Array.from({ length: 5 }, (_, i) => message(WEB, DB, `db ${i}`));
    const toCache = Array.from({ length: 5 }, (_, i) => message(WEB, CACHE, `cache ${i}`));
    lab.send('web', toDb[0]!, toDb[1]!, toCache[0]!, toDb[2]!, toCache[1]!, toCache[2]!, toDb[3]!);
    lab.expect({ db: toDb.slice(0, 4), cache: toCache.slice(0, 3) });
  });
});

describe('switch: runs of frames with the same addresses', () => {
  const hello = (from: string, tags: number[] = []) => message(from, STRANGER, 'here', tags);
  const to = (text: string, tags: number[] = [], from = WEB, station = DB) => message(from, station, text, tags);

  it('are told apart by their VLAN', () => {
    const lab = createLab({ ports: { router: {}, ten: { vlan: 10 }, twenty: { vlan: 20 } } });
    lab.send('ten', hello(DB));
    lab.send('twenty', hello(DB));
    lab.ignoreDepartures();
    lab.send('router', to('1', [10]), to('2', [20]), to('3', [10]));
    lab.expect({ ten: [to('1'), to('3')], twenty: [to('2')] });
  });

  it('are told apart by every byte of the addresses', () => {
    const near = [DB, DB.replace(/^02/, '06'), DB.replace(/02$/, '82'), DB.replace(':5e:', ':5f:')];
    const lab = createLab({ ports: ['web', ...near] });
    for (const mac of near) lab.send(mac, hello(mac));
    lab.ignoreDepartures();
    lab.send('web', ...near.map((mac) => to('x', [], WEB, mac)));
    lab.expect(Object.fromEntries(near.map((mac) => [mac, [to('x', [], WEB, mac)]])));
    lab.send('web', ...near.map((mac, i) => to('learn me', [], `${mac.slice(0, -2)}a${i}`)));
    assert.equal(lab.macTable().filter((line) => line.endsWith(' web')).length, 5);
    lab.ignoreDepartures();
  });

  it('are told apart by the port where they came in', () => {
    const lab = createLab({ ports: { web: {}, db: { isolated: true }, twin: { isolated: true } } });
    lab.send('db', hello(DB));
    lab.ignoreDepartures();
    lab.queue('web', to('from web'));
    lab.queue('twin', to('from twin'));
    lab.run();
    lab.expect({ db: [to('from web')] }, { isolated: 1 });
    assert.equal(lab.total('macMoves'), 1, 'both ports were heard');
  });

  it('do not inherit a flood or a drop', () => {
    const lab = createLab({ storm: { unknownUnicast: 10 }, ports: ['web', 'db'] });
    lab.send('web', ...Array.from({ length: 20 }, (_, i) => to(`${i}`)));
    lab.expect({ db: Array.from({ length: 8 }, (_, i) => to(`${i}`)) }, { storm: 12 });
  });
});

describe('switch: flooding', () => {
  it('gives broadcast and multicast to every other port', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const frames = [BROADCAST, GROUP, '33:33:00:00:00:01'].map((to) => message(WEB, to, to));
    lab.send('web', ...frames);
    lab.expect({ db: frames, cache: frames });
  });

  it('gives a frame to more ports than the transmit queue has rows', () => {
    const names = Array.from({ length: 2500 }, (_, i) => `port-${i}`);
    const lab = createLab({ ports: names });
    const hello = message(WEB, BROADCAST, 'everybody');
    lab.send('port-1300', hello, hello);
    const others = names.filter((name) => name !== 'port-1300');
    lab.expect(Object.fromEntries(others.map((name) => [name, [hello, hello]])));
    assert.ok(lab.io.bursts.length > 2, 'the queue was flushed in between');
    assert.equal(lab.total('departures'), 2 * 2499);
  });

  it('does the same when every port needs a head of its own', () => {
    const names = Array.from({ length: 2500 }, (_, i) => `port-${i}`);
    const trunks = Object.fromEntries(names.map((name) => [name, { vlan: { native: null } }]));
    const lab = createLab({ ports: { ...trunks, web: { vlan: 7 } } });
    lab.send('web', message(WEB, BROADCAST, 'everybody'));
    const tagged = message(WEB, BROADCAST, 'everybody', [7]);
    lab.expect(Object.fromEntries(names.map((name) => [name, [tagged]])));
  });

  it('counts a frame that nobody could take', () => {
    const lab = createLab({ ports: ['web'] });
    lab.send('web', message(WEB, BROADCAST, 'alone'));
    lab.expect({}, { 'no-destination': 1 });
  });
});

describe('switch: static entries', () => {
  it('sends to a station that never said a word', () => {
    const lab = createLab({ ports: { web: {}, db: { statics: [DB] }, cache: {} } });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('keeps a static station when it ages and when somebody else claims it', () => {
    const lab = createLab({ ports: { web: {}, db: { statics: [DB] }, cache: {} } });
    const lie = message(DB, BROADCAST, 'I am db');
    lab.send('cache', lie);
    lab.expect({ web: [lie], db: [lie] });
    lab.advance(minutes(60));
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ db: [question] });
    assert.ok(lab.macTable().includes(`0 ${DB} db static`));
  });

  it('knows static stations by VLAN', () => {
    const lab = createLab({
      ports: { web: { vlan: 7 }, db: { vlan: 7, statics: [{ vlan: 7, mac: DB }] }, x: { vlan: 7 } },
    });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ db: [question] });
  });

  it('takes static stations from the next program, and forgets those it no longer has', () => {
    const lab = createLab({ ports: { web: {}, db: { statics: [DB] }, cache: {} } });
    lab.change({ ports: { web: {}, db: {}, cache: { statics: [DB] } } });
    const question = message(WEB, DB, 'who?');
    lab.send('web', question);
    lab.expect({ cache: [question] });
    lab.change({ ports: ['web', 'db', 'cache'] });
    lab.send('web', question);
    lab.expect({ db: [question], cache: [question] });
  });
});

describe('switch: isolation', () => {
  const ports = { tenant: { isolated: true }, neighbour: { isolated: true }, gateway: {} };

  it('keeps isolated ports from each other, known or not', () => {
    const lab = createLab({ ports });
    const hello = message(WEB, BROADCAST, 'here');
    lab.send('tenant', hello);
    lab.expect({ gateway: [hello] });
    lab.send('neighbour', message(DB, WEB, 'psst'));
    lab.expect({}, { isolated: 1 });
  });

  it('lets isolated ports talk with all others, both ways', () => {
    const lab = createLab({ ports });
    const hello = message(WEB, BROADCAST, 'here');
    const answer = message(CACHE, WEB, 'welcome');
    const announcement = message(CACHE, BROADCAST, 'to all');
    lab.send('tenant', hello);
    lab.expect({ gateway: [hello] });
    lab.send('gateway', answer, announcement);
    lab.expect({ tenant: [answer, announcement], neighbour: [announcement] });
  });

  it('counts a broadcast that isolation left nobody for', () => {
    const lab = createLab({ ports: { tenant: { isolated: true }, neighbour: { isolated: true } } });
    lab.send('tenant', message(WEB, BROADCAST, 'here'));
    lab.expect({}, { 'no-destination': 1 });
  });
});

describe('switch: a bounded MAC table', () => {
  it('keeps the stations of quiet ports while another floods with addresses', () => {
    const lab = createLab({ macLimit: 256, ports: ['web', 'db', 'attacker'] });
    lab.send('web', message(WEB, STRANGER, 'here'));
    lab.send('db', message(DB, STRANGER, 'here'));
    for (let n = 0; n < 5000; n++) lab.queue('attacker', ether({ from: numberedMac(n), to: STRANGER }));
    lab.run();
    lab.ignoreDepartures();
    assert.equal(lab.macTable().length, 256);
    assert.equal(lab.total('macs'), 256);
    assert.equal(lab.total('macEvictions'), 5002 - 256);
    const question = message(WEB, DB, 'still there?');
    lab.send('web', question);
    lab.expect({ db: [question] });
    const late = message(CACHE, WEB, 'may I?');
    lab.send('db', late);
    lab.send('web', message(WEB, CACHE, 'you may'));
    lab.expect({ web: [late], db: [message(WEB, CACHE, 'you may')] });
  });
});
