/** Requests to etcd that cross each other on the way: what is written, what is released, and what somebody else does meanwhile. */
import assert from 'node:assert/strict';
import { ClusterClaims } from '../../src/control/cluster/cluster-claims.js';
import { forgetHost } from '../../src/control/cluster/forget-host.js';
import { ClusterKeys } from '../../src/control/cluster/keys.js';
import { Publisher } from '../../src/control/cluster/publisher.js';
import { ownerText } from '../../src/control/cluster/records.js';
import { parseCompartmentRequest } from '../../src/model/compartment-request.js';
import { DesiredState, type EndpointRecord } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { MemoryEtcd } from '../support/memory-etcd.js';

const PRESENCE = '{"instance":"one","version":"0","since":""}';
const ADDRESS = '10.90.0.7';

describe('requests to etcd that cross each other', () => {
  const keys = new ClusterKeys('/weft');
  const owner = ownerText('a', 'one');
  const claim = keys.claim('ov', 'ip', ADDRESS);
  let etcd: MemoryEtcd;
  let state: DesiredState;
  let publisher: Publisher;
  let claims: ClusterClaims;
  /** What ended a session. */
  let faults: string[];

  beforeEach(() => {
    etcd = new MemoryEtcd();
    faults = [];
    etcd.put(keys.network('ov'), 'a network');
    etcd.put(keys.host('a'), PRESENCE);
    state = new DesiredState('one', { networks: 8, ports: 128 });
    const request = { name: 'ov', type: 'overlay', subnets: ['10.90.0.0/24'], overlay: { vni: 5000, shared: true } };
    const spec = parseNetworkRequest(request);
    assert.ok(spec.ok);
    state.addNetwork(spec.value, 'id');
    publisher = new Publisher({
      ...{ keys, state, host: 'a', vtepOf: () => '192.0.2.1' },
      onConflict: (_object, name, taken) => faults.push(`${name}: ${taken.map(({ key }) => key)}`),
      onFault: (_session, error) => faults.push(error.message),
    });
    const ask = <T>(question: (session: typeof etcd.session) => Promise<T>) => question(etcd.session);
    claims = new ClusterClaims({ keys, publisher, owner, ask, onDeltas: () => {} });
  });

  afterEach(() => {
    publisher.end();
    assert.deepEqual(faults, []);
  });

  const begin = () => publisher.begin({ session: etcd.session, presence: PRESENCE }, [...etcd.rows.values()]);

  function add(name: string): { record: EndpointRecord; undo: () => void } {
    const wish = parseEndpointRequest({ name, network: 'ov', ip: [ADDRESS] });
    assert.ok(wish.ok);
    return state.addEndpoint(wish.value, name);
  }

  async function claimUntilGranted(record: EndpointRecord): Promise<void> {
    for (let attempt = 0; attempt < 10; attempt++) if ((await claims.claim(record)).granted) return;
    assert.fail('it is never granted');
  }

  async function immediates(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Everything that was begun is done. */
  async function settle(): Promise<void> {
    await immediates(20);
    await publisher.settled();
  }

  it('what an endpoint left that was deleted while etcd was away is not taken from the next one that has the address', async () => {
    for (const late of ['before', 'while'] as const) {
      etcd.put(claim, owner);
      const next = add(`next-${late}`);
      next.undo();
      begin();
      let created: Promise<void> | null = null;
      etcd.before = (request, of) => {
        const isMoment = late === 'while' ? request === 'removeEqual' : of.includes(keys.vtep('ov', 'a'));
        if (!isMoment || created !== null) return;
        created = claimUntilGranted(add(`next-${late}`).record);
        // The requests for the new endpoint overtake.
        return immediates(5);
      };
      await settle();
      assert.notEqual(created, null);
      await created;
      await settle();
      assert.equal(etcd.value(claim), owner, late);
      publisher.end();
      for (const name of [...state.endpoints.keys()]) state.removeEndpoint(name);
      etcd.before = () => {};
      etcd.rows.delete(keys.vtep('ov', 'a'));
    }
  });

  it('a removal that a slow member of etcd carries out when it was given up long ago takes nothing that was claimed since', async () => {
    etcd.put(claim, owner);
    const { removeEqual } = etcd;
    let carryOutLate: () => Promise<unknown> = assert.fail;
    etcd.removeEqual = async (...parameters) => {
      carryOutLate = () => removeEqual.apply(etcd, parameters);
      throw new Error('it does not answer');
    };
    begin();
    await settle();
    assert.deepEqual(faults.splice(0), ['it does not answer']);
    etcd.removeEqual = removeEqual;
    const again = PRESENCE.replace('""', '"later"');
    etcd.put(keys.host('a'), again);
    publisher.begin({ session: etcd.session, presence: again }, [...etcd.rows.values()]);
    await settle();
    assert.equal(etcd.value(claim), null);
    await claimUntilGranted(add('next').record);
    await carryOutLate();
    assert.equal(etcd.value(claim), owner);
  });

  it('a claim that another host has entered again for this one, and that nothing here needs any more, is released', async () => {
    begin();
    await settle();
    etcd.put(claim, owner);
    publisher.observed(claim, owner);
    await settle();
    assert.equal(etcd.value(claim), null);
  });

  it('the largest endpoints that there are fit into the requests that etcd takes', async () => {
    const compartment = parseCompartmentRequest({ name: 'hosts' });
    assert.ok(compartment.ok);
    state.addCompartment(compartment.value, 'id');
    const names = Array.from({ length: 60 }, (_, n) => `e${n}`);
    names.forEach((name, n) => {
      const octet = (value: number) => value.toString(16).padStart(2, '0');
      const staticMacs = Array.from(
        { length: 1024 },
        (_, m) => `02:00:00:${octet(n)}:${octet(m >> 8)}:${octet(m & 255)}`,
      );
      const aliases = Array.from(
        { length: 64 },
        (_, m) => `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${m}`,
      );
      const wish = parseEndpointRequest({ name, network: 'ov', staticMacs, aliases });
      assert.ok(wish.ok, JSON.stringify(wish));
      state.addEndpoint(wish.value, name);
      state.attach(name, 'hosts', () => false);
    });
    begin();
    await settle();
    assert.deepEqual(
      etcd.keys(keys.endpoint('ov', 'a', '')),
      names.map((name) => keys.endpoint('ov', 'a', name)).sort(),
    );
    assert.ok(etcd.largest < 1.5 * 1024 * 1024, `${etcd.largest} bytes in one request`);
  });

  it('what is touched at any moment of a write is written', async () => {
    const { record } = add('web');
    begin();
    await claims.claim(record);
    await settle();
    const name = keys.claim('ov', 'name', 'web');
    for (let steps = 0; steps < 40; steps++) {
      etcd.rows.delete(name);
      publisher.observed(keys.vtep('ov', 'a'), null);
      let isFirst = true;
      etcd.before = async (request) => {
        if (!isFirst || request !== 'transact') return;
        isFirst = false;
        void (async () => {
          for (let step = 0; step < steps; step++) await null;
          publisher.observed(name, null);
        })();
      };
      await settle();
      assert.equal(etcd.value(name), owner, `${steps} steps after a write`);
    }
  });

  it('a host that comes back while it is being forgotten keeps what it has', async () => {
    const other = ownerText('b', 'two');
    etcd.put(claim, other);
    etcd.before = (request) => {
      if (request === 'transact') etcd.put(keys.host('b'), '{"instance":"two","version":"0","since":""}');
    };
    await assert.rejects(forgetHost(etcd.session, keys, 'b'), /host b is in the cluster/);
    assert.equal(etcd.value(claim), other);
  });
});
