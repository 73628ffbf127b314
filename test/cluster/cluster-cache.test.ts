/** What a daemon keeps of the cluster for one that starts while etcd is away. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { ClusterCache } from '../../src/control/cluster/cluster-cache.js';
import { ClusterKeys } from '../../src/control/cluster/keys.js';
import { Replica } from '../../src/control/cluster/replica.js';
import { makeStateDirectory } from '../support/control-lab.js';

describe('the file of what is known of a cluster', () => {
  let state: Awaited<ReturnType<typeof makeStateDirectory>>;
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const keys = new ClusterKeys('/weft');

  beforeEach(async () => {
    state = await makeStateDirectory();
  });
  afterEach(() => state.remove());

  function known(): { cache: ClusterCache; replica: Replica } {
    const replica = new Replica(keys);
    return { cache: new ClusterCache(state.directory, replica, log), replica };
  }

  it('is written at the end when something has changed, and read by the next daemon', () => {
    const { cache, replica } = known();
    const entry = { key: '/weft/epoch', value: '17', modRevision: 4 };
    replica.apply([entry], 5, () => false);
    cache.touch();
    assert.deepEqual(readdirSync(state.directory), [], 'not at once');
    cache.close();
    assert.deepEqual(known().cache.read(keys.root), { entries: [entry], revision: 5 });
  });

  it("is not touched after the end, when the directory may be somebody else's", () => {
    const { cache } = known();
    cache.close();
    cache.touch();
    cache.close();
    assert.deepEqual(readdirSync(state.directory), []);
  });
});
