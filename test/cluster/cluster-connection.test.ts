/** What a session with etcd leaves behind that ends before it is complete. */
import assert from 'node:assert/strict';
import { ClusterConnection } from '../../src/control/cluster/connection.js';
import { EtcdSession } from '../../src/control/cluster/etcd-session.js';
import { ClusterKeys } from '../../src/control/cluster/keys.js';
import { Replica } from '../../src/control/cluster/replica.js';

describe('a session with etcd that cannot watch', () => {
  const { setInterval: realSet, clearInterval: realClear } = globalThis;
  const own = EtcdSession.prototype;
  const real = { ...Object.fromEntries(Object.getOwnPropertyNames(own).map((name) => [name, Reflect.get(own, name)])) };

  afterEach(() => {
    Object.assign(globalThis, { setInterval: realSet, clearInterval: realClear });
    Object.assign(own, real);
  });

  it('leaves no timer behind, however often that happens', async () => {
    const timers = new Set<unknown>();
    globalThis.setInterval = ((...parameters: Parameters<typeof realSet>) => {
      const timer = realSet(...parameters);
      timers.add(timer);
      return timer;
    }) as typeof realSet;
    globalThis.clearInterval = ((timer: NodeJS.Timeout) => {
      timers.delete(timer);
      realClear(timer);
    }) as typeof realClear;
    let failures = 0;
    let timersOfJoined = 0;
    Object.assign(own, {
      readAll: async () => ({ revision: 1, entries: [{ key: '/weft/epoch', value: 'one', modRevision: 1 }] }),
      read: async () => null,
      putAbsent: async () => {},
      transact: async () => ({ succeeded: true, revision: 2, entries: [] }),
      grantLease: async () => '1',
      keepLease: async () => ({ renew: () => {} }),
      watch: async () => {
        if (failures < 3) throw new Error(`no stream ${++failures}`);
      },
      close: () => {},
    });
    const etcd = ['http://127.0.0.1:1'];
    const files = { ca: null, cert: null, key: null, user: null, password: null };
    const keys = new ClusterKeys('/weft');
    const joined = new Promise<void>((resolve) => {
      const connection = new ClusterConnection({
        options: { ...files, etcd, host: 'a', prefix: '/weft', leaseSeconds: 3600 },
        ...{ keys, replica: new Replica(keys), instance: 'one', version: '0' },
        now: () => 0,
        restore: async () => {},
        isHeard: () => false,
        onChanges: () => {},
        onDeltas: () => {},
        onLost: () => {},
        onJoined: () => {
          timersOfJoined = timers.size;
          resolve(connection.close());
        },
      });
      connection.start();
    });
    await joined;
    assert.deepEqual(
      { failures, timersOfJoined, timersLeft: timers.size },
      { failures: 3, timersOfJoined: 1, timersLeft: 0 },
    );
  });
});
