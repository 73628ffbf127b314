/** `weft cluster` with a daemon that has none; with one that has, it is a system test. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';

describe('CLI: cluster', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.listen();
  });

  afterEach(() => lab.close());

  const weft = (line: string) => runWeft(lab.socketPath, line.split(' '));

  it('says that there is none', async () => {
    const { status, stdout } = await weft('cluster status');
    assert.deepEqual([status, stdout], [0, 'no cluster: weft.yaml names no cluster\n']);
    const { stdout: json } = await weft('cluster status --json');
    assert.deepEqual([JSON.parse(json).state, JSON.parse(json).host], ['none', null]);
    assert.match((await weft('status')).stdout, /^Cluster: +none$/m);
  });

  it('has nobody to forget', async () => {
    const forget = await weft('cluster forget b');
    assert.equal(forget.status, 1);
    assert.equal(
      forget.stderr,
      'error: cannot forget host b (weftd has no cluster; name its etcd in weft.yaml: cluster: {etcd: [URL]})\n',
    );
  });
});
