/** Keys, values and the copy of them: what is understood, what is told as a change, what stays when etcd has lost it. */
import assert from 'node:assert/strict';
import { ClusterKeys, endOfPrefix } from '../../src/control/cluster/keys.js';
import { hostRecordFrom, stationOf, stationRecordFrom, vtepRecordFrom } from '../../src/control/cluster/records.js';
import { Replica } from '../../src/control/cluster/replica.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';

const keys = new ClusterKeys('/weft');
const MAC = '02:00:5e:10:00:01';
const STATION = JSON.stringify({
  mac: MAC,
  macs: [],
  ip: ['10.0.0.2'],
  vlan: 0,
  compartment: 'web',
  aliases: [],
  vtep: null,
});
const HOST = JSON.stringify({ instance: 'i', version: '1', since: '' });
const VTEP = JSON.stringify({ address: '192.0.2.2' });
const never = () => false;

describe('keys of the cluster', () => {
  it('are made and taken apart again', () => {
    const all = [
      [keys.epoch, { kind: 'epoch' }],
      [keys.guard, { kind: 'guard' }],
      [keys.host('b.example'), { kind: 'host', host: 'b.example' }],
      [keys.network('ov'), { kind: 'network', network: 'ov' }],
      [keys.vtep('ov', 'b'), { kind: 'vtep', network: 'ov', host: 'b' }],
      [keys.endpoint('ov', 'b', 'web'), { kind: 'endpoint', network: 'ov', host: 'b', name: 'web' }],
      [keys.claim('ov', 'ip', '2001:db8::1'), { kind: 'claim', network: 'ov', what: 'ip', value: '2001:db8::1' }],
    ] as const;
    for (const [text, parsed] of all) assert.deepEqual(keys.parse(text), parsed, text);
  });

  it('of nobody are nothing', () => {
    const foreign = [
      '',
      '/weft',
      '/weft/',
      '/other/epoch',
      '/weft/hosts',
      '/weft/hosts/',
      '/weft/hosts/a/b',
      '/weft/vteps/ov',
    ];
    for (const text of [...foreign, '/weft/claims/ov/vlan/5', '/weft/endpoints/ov//x', '/weft/new/thing']) {
      assert.equal(keys.parse(text), null, text);
    }
  });

  it('with a prefix end before the first one without it', () => {
    assert.equal(endOfPrefix('/weft/').toString(), '/weft0');
    assert.ok(Buffer.compare(Buffer.from('/weft/~'), endOfPrefix('/weft/')) < 0);
  });
});

describe('values of the cluster', () => {
  it('that make sense are read', () => {
    assert.deepEqual(vtepRecordFrom(VTEP), { address: '192.0.2.2' });
    assert.equal(stationRecordFrom(STATION)?.ip[0], '10.0.0.2');
    assert.equal(hostRecordFrom(HOST)?.instance, 'i');
  });

  it('of every endpoint that a host can have are read', () => {
    const staticMacs = Array.from(
      { length: 1024 },
      (_, n) => `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
    );
    const aliases = ['www', '_ldap._tcp', `${'a'.repeat(60)}.${'b'.repeat(60)}`];
    const publish = Array.from({ length: 256 }, (_, n) => `${8000 + n}:80/tcp`);
    const wish = parseEndpointRequest({ name: 'web', network: 'ov', staticMacs, aliases, publish });
    assert.ok(wish.ok, JSON.stringify(wish));
    const station = stationOf({ ...wish.value, mac: '02:00:5e:10:00:01', ifname: 'eth0', compartment: 'web' });
    assert.deepEqual(stationRecordFrom(JSON.stringify(station)), station);
  });

  it('that do not are none', () => {
    const station = (more: object) => JSON.stringify({ ...JSON.parse(STATION), ...more });
    const bad = ['', 'x', '[]', 'null', '{}', station({ mac: 'ff:ff:ff:ff:ff:ff' }), station({ ip: ['10.0.0.300'] })];
    bad.push(station({ vlan: 4095 }), station({ macs: 'x' }), station({ aliases: ['a/b'] }), station({ vtep: 'x' }));
    for (const text of bad) assert.equal(stationRecordFrom(text), null, text);
    for (const text of ['', '{}', '{"address":"x"}']) assert.equal(vtepRecordFrom(text), null, text);
    for (const text of ['', '{}', '{"instance":1}']) assert.equal(hostRecordFrom(text), null, text);
  });
});

describe('the replica', () => {
  const at = (modRevision: number, entries: Record<string, string>) =>
    Object.entries(entries).map(([key, value]) => ({ key, value, modRevision }));
  const loaded = () => {
    const replica = new Replica(keys);
    const entries = {
      [keys.host('b')]: HOST,
      [keys.vtep('ov', 'b')]: VTEP,
      [keys.endpoint('ov', 'b', 'web')]: STATION,
    };
    const changes = replica.load(at(5, { [keys.epoch]: 'one', ...entries }), 7, never);
    return { replica, changes, entries };
  };

  it('tells each change once, and nothing when the same is read again', () => {
    const { replica, changes, entries } = loaded();
    assert.deepEqual(changes.map(({ kind }) => kind).sort(), ['endpoint', 'epoch', 'host', 'vtep']);
    assert.deepEqual(replica.load(at(9, { [keys.epoch]: 'one', ...entries }), 9, never), []);
    assert.deepEqual([replica.epoch, replica.revision, replica.size], ['one', 9, 4]);
  });

  it('takes what a host has for valid only while the host is there', () => {
    const { replica } = loaded();
    assert.equal(replica.vtepOf('ov', 'b'), '192.0.2.2');
    const gone = replica.apply([{ key: keys.host('b'), value: null, modRevision: 8 }], 8, never);
    assert.deepEqual(gone, [{ kind: 'host', host: 'b' }]);
    assert.deepEqual([replica.vtepOf('ov', 'b'), replica.vtepsOf('ov')], [null, []]);
    assert.equal(replica.recordedVtepOf('ov', 'b'), '192.0.2.2');
    replica.apply(at(9, { [keys.host('b')]: HOST }), 9, never);
    assert.deepEqual(replica.vtepsOf('ov'), [{ host: 'b', address: '192.0.2.2' }]);
  });

  it('ignores what is older than what it knows', () => {
    const { replica } = loaded();
    const old = { key: keys.vtep('ov', 'b'), value: '{"address":"192.0.2.99"}', modRevision: 4 };
    assert.deepEqual(replica.apply([old, { ...old, value: null }], 7, never), []);
    assert.equal(replica.vtepOf('ov', 'b'), '192.0.2.2');
  });

  it('keeps what a wiped etcd has lost, until it is entered again or given up', () => {
    const { replica, entries } = loaded();
    const lingers = (key: { kind: string }) => key.kind !== 'epoch';
    assert.deepEqual(replica.load(at(1, { [keys.epoch]: 'two' }), 1, lingers), [{ kind: 'epoch' }]);
    assert.equal(replica.vtepOf('ov', 'b'), '192.0.2.2');
    assert.ok(replica.isDoubtfulHost('b'));
    // Revisions begin anew.
    assert.deepEqual(replica.apply(at(2, { [keys.host('b')]: HOST, [keys.vtep('ov', 'b')]: VTEP }), 2, never), []);
    assert.ok(!replica.isDoubtfulHost('b'));
    assert.deepEqual(
      replica.dropDoubtful(() => true),
      [{ kind: 'endpoint', network: 'ov', host: 'b', name: 'web' }],
    );
    assert.equal(replica.vtepOf('ov', 'b'), '192.0.2.2');
    assert.equal(Object.keys(entries).length, 3);
  });

  it('has nothing of a value that it does not understand, and the rest all the same', () => {
    const { replica } = loaded();
    replica.apply([{ key: keys.endpoint('ov', 'b', 'web'), value: '{"mac":"x"}', modRevision: 8 }], 8, never);
    assert.deepEqual([...replica.stationsOf('ov')], []);
    assert.deepEqual([...replica.strange], [keys.endpoint('ov', 'b', 'web')]);
    replica.apply(at(9, { [keys.endpoint('ov', 'b', 'web')]: STATION }), 9, never);
    assert.deepEqual([[...replica.stationsOf('ov')].length, replica.strange.size], [1, 0]);
  });
});
