// What an operator sees of a real daemon under traffic: counters that add up, metrics that Prometheus takes, times that make sense.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { StatsView } from '../../src/control/controller.js';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';

describe("the operator's view", function operatorView() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab);
    await lab.inside(pair.left.base, ['ping', '-q', '-c', '200', '-i', '0.002', '-s', '1000', pair.right.v4]);
  });

  it('has every turn with frames in both histograms, and times that make sense', async () => {
    const { datapath } = (await daemon.call('GET', '/v1/stats')) as StatsView;
    const turns = (buckets: StatsView['datapath']['bursts']) => buckets.reduce((sum, bucket) => sum + bucket.turns, 0);
    assert.ok(datapath.arrivals >= 400);
    assert.ok(turns(datapath.bursts) > 0 && turns(datapath.bursts) <= datapath.arrivals);
    // The worker may be in the middle of a turn while this thread reads.
    assert.ok(Math.abs(turns(datapath.bursts) - turns(datapath.turnTimes)) <= 1);
    assert.ok(datapath.longestTurnMicros > 0 && datapath.longestTurnMicros <= datapath.busySeconds * 1e6 + 1);
    assert.ok(datapath.busySeconds < datapath.asleepSeconds + datapath.pollingSeconds);
    assert.ok(datapath.wakeUps > 0 && datapath.idleTurns < datapath.turns);
  });

  it('passes promtool, with the endpoints and the network of the lab', async () => {
    const { text } = await daemon.api('GET', '/metrics');
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    const value = (start: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(start))!
          .split(' ')
          .at(-1),
      );
    const network = value(`weft_network_receive_frames_total{network="${pair.network}"}`);
    const sides = [pair.left, pair.right].map(({ endpoint }) =>
      value(`weft_endpoint_receive_frames_total{endpoint="${endpoint}"`),
    );
    assert.ok(network >= 400);
    assert.equal(network, sides[0]! + sides[1]!);
  });

  it('stats --watch tells how busy the datapath is and what it drops', async () => {
    const text = await daemon.ok('stats', '--watch', '--count', '1', '--interval', '0.2');
    assert.match(text, /^datapath: [\d.]+ % busy, [\d.]+ % looking for frames, [\d.]+ % asleep; /m);
    assert.match(text, /^dropped now:/m);
    assert.match(text, /^rx: from the endpoint into the network; tx: /m);
    const status = await daemon.ok('status');
    assert.match(status, /busy since the start, .* frames per turn, longest turn [\d.]+ (us|ms)\n/);
  });
});
