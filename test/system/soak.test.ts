// A short soak (scripts/soak): load and operators on a real daemon, every frame accounted for, nothing left behind. And what
// the soak judges by, on numbers that are wrong on purpose: a rig that never complains proves nothing.
import assert from 'node:assert/strict';
import { Books, imbalanceOf, judgeAtRest, judgeSums } from '../../scripts/soak/books.js';
import { judgeInterfaces } from '../../scripts/soak/interfaces.js';
import { driftOf, type MemorySample } from '../../scripts/soak/memory.js';
import { parseOptions } from '../../scripts/soak/options.js';
import { formatReport, type Report } from '../../scripts/soak/report.js';
import { runSoak } from '../../scripts/soak/soak.js';
import type { DatapathStats, EndpointStats, StatsView } from '../../src/control/controller.js';
import { idleDns } from '../support/fake-stats.js';
import type { Daemon } from '../support/system-daemon.js';
import { useLab } from '../support/system-lab.js';

const SEED = Number(process.env.WEFT_TEST_SEED ?? 20251121);
const SECONDS = 20;

describe(`a soak of ${SECONDS} seconds (seed ${SEED})`, function shortSoak() {
  this.timeout(150_000);
  const lab = useLab();
  let report: Report;

  it('finds nothing to complain about', async () => {
    const { signal } = new AbortController();
    const options = { seconds: SECONDS, seed: SEED, operators: 3, fault: null };
    report = await runSoak(lab, { ...options, say: () => {}, signal });
    assert.deepEqual(report.problems, [], formatReport(report));
  });

  it('was work: frames of every kind, changes of every kind', () => {
    const { datapath, deeds, runs } = report;
    const done = Object.values(deeds).reduce((sum, tally) => sum + tally.done, 0);
    assert.ok(datapath.arrivals > 20_000, `${datapath.arrivals} frames`);
    assert.ok(datapath.segmented > 0 && datapath.completed > 0, 'super-frames were cut, checksums completed');
    assert.ok(done > 40, `${done} operations`);
    for (const name of ['create endpoint', 'attach or move endpoint', 'delete endpoint', 'start capture']) {
      assert.ok((deeds[name]?.done ?? 0) > 0, name);
    }
    assert.equal(Object.keys(runs).length, 5);
    assert.ok(report.samples >= 3 && report.memory.length === report.samples, `${report.samples} samples`);
  });

  it('ends with the lab as it began', async () => {
    const { networks, compartments, endpoints, captures } = await lab.daemon.call('GET', '/v1/status');
    assert.deepEqual([networks, compartments, endpoints.attached, endpoints.total, captures], [1, 4, 4, 4, 0]);
  });
});

describe('the books of a soak', () => {
  it('balance when every frame has a fate and every departure a result', () => {
    assert.deepEqual(imbalanceOf(datapath({})), { frames: 0, departures: 0 });
    assert.deepEqual(judgeAtRest(datapath({}), DROPS, 0), []);
  });

  it('show a single frame without a fate, and a single departure without a result', () => {
    assert.deepEqual(judgeAtRest(datapath({ forwarded: 89 }), DROPS, 0), ['1 frames have no fate']);
    assert.deepEqual(judgeAtRest(datapath({ sent: 116 }), DROPS, 0), ['1 departures have no result']);
  });

  it('show drops that no reason counted', () => {
    assert.deepEqual(judgeAtRest(datapath({}), DROPS.slice(1), 0), ['dropped is 10, but its reasons add up to 3']);
  });

  it('allow a burst for every fault of the worker, and no more', () => {
    assert.deepEqual(judgeAtRest(datapath({ arrivals: 100 + 256 }), DROPS, 1), []);
    assert.deepEqual(judgeAtRest(datapath({ arrivals: 100 + 257 }), DROPS, 1), ['257 frames have no fate']);
  });

  it('show frames that no endpoint counted', () => {
    const before = view({}, { rxFrames: 100, txFrames: 117, rxDropped: 10, txDropped: 3 });
    const after = view({ arrivals: 150, sent: 160 }, { rxFrames: 149, txFrames: 160, rxDropped: 10, txDropped: 3 });
    assert.deepEqual(judgeSums(before, before), []);
    assert.deepEqual(judgeSums(before, after), ['arrivals rose by 50, but rxFrames of the endpoints by 49']);
  });

  it('show frames that the kernel counted differently', () => {
    const before = { stats: view({}, { rxFrames: 100, txFrames: 117 }), kernel: [{ sent: 7, received: 9 }] };
    const stats = view({}, { rxFrames: 150, txFrames: 160 });
    assert.deepEqual(judgeInterfaces(['e'], before, { stats, kernel: [{ sent: 57, received: 52 }] }), []);
    assert.deepEqual(judgeInterfaces(['e'], before, { stats, kernel: [{ sent: 57, received: 51 }] }), [
      'e: weft counted 50 in, 43 out, the kernel 50 in, 42 out',
    ]);
  });

  it('look again when a look fell into a turn, and complain when it stays like that', async () => {
    const [fine, torn] = [view({}, {}), view({ arrivals: 100 + 9 * 256 }, {})];
    const answers = [torn, torn, fine];
    const call = async () => answers.shift() ?? torn;
    const books = new Books({ call } as unknown as Daemon);
    assert.deepEqual(await books.sample(0), []);
    assert.deepEqual(await books.sample(0), [
      '8 looks in a row showed unaccounted frames: {"frames":2304,"departures":0}',
    ]);
    assert.deepEqual([books.samples, books.worst], [2, { frames: 2304, departures: 0 }]);
  });

  it('show a counter that went backwards', async () => {
    const answers = [view({ turns: 9 }, {}), view({ turns: 8 }, {})];
    const books = new Books({ call: async () => answers.shift() } as unknown as Daemon);
    assert.deepEqual(await books.sample(0), []);
    assert.deepEqual(await books.sample(0), ['the counter turns went backwards while the daemon ran']);
  });
});

describe('the drift of memory', () => {
  const MEGA = 1024 * 1024;
  const over = (seconds: number, megabytes: (at: number) => number): MemorySample[] =>
    Array.from({ length: seconds / 2 }, (_, index) => {
      const at = (index + 1) * 2;
      return { at, residentBytes: megabytes(at) * MEGA };
    });

  it('is that after the first minute', () => {
    const filling = over(300, (at) => (at < 60 ? 100 + at : 160));
    assert.deepEqual(driftOf(filling), { bytes: 0, isJudged: true });
  });

  it('is not moved by a collector that breathes', () => {
    assert.deepEqual(driftOf(over(300, (at) => 160 + (at % 56) / 3)), { bytes: 0, isJudged: true });
  });

  it('is what leaks', () => {
    const { bytes, isJudged } = driftOf(over(300, (at) => 160 + at / 10));
    assert.ok(isJudged && bytes > 14 * MEGA && bytes < 18 * MEGA, `${bytes}`);
  });

  it('is not judged in less than four minutes', () => {
    assert.equal(driftOf(over(238, () => 160)).isJudged, false);
    assert.deepEqual(driftOf([]), { bytes: 0, isJudged: false });
  });
});

describe('the command line of the soak', () => {
  it('knows minutes, seed, operators and faults', () => {
    const args = ['--minutes', '1.5', '--seed', '7', '--operators', '0', '--faults', 'exit'];
    assert.deepEqual(parseOptions(args), { seconds: 90, seed: 7, operators: 0, fault: 'exit' });
    assert.equal(parseOptions(['--help']), null);
    assert.equal(parseOptions([])?.seconds, 300);
  });

  it('says what is wrong', () => {
    assert.throws(
      () => parseOptions(['--minutes', 'x']),
      /^Error: --minutes x: a number from 0.1 to 10080 was expected$/,
    );
    assert.throws(() => parseOptions(['--seed', '0']), /^Error: --seed 0: a whole number from 1 to 2147483647/);
    assert.throws(() => parseOptions(['--faults', 'cry']), /unknown \(known: throw, exit, hang\)$/);
    assert.throws(() => parseOptions(['--hours', '1']), /--hours/);
  });
});

const DROPS = [
  { reason: 'runt', scope: 'frame', frames: 7 },
  { reason: 'no-destination', scope: 'frame', frames: 3 },
  { reason: 'queue-full', scope: 'departure', frames: 3 },
];

function datapath(changes: Partial<DatapathStats>): DatapathStats {
  const frames = { arrivals: 100, originated: 0, forwarded: 90, consumed: 0, dropped: 10 };
  return { turns: 1, ...frames, departures: 120, sent: 117, transmitDropped: 3, ...changes } as DatapathStats;
}

function view(changes: Partial<DatapathStats>, counted: Partial<EndpointStats>): StatsView {
  const endpoint = { endpoint: 'e', rxFrames: 0, txFrames: 0, rxDropped: 0, txDropped: 0, ...counted };
  return { time: '', datapath: datapath(changes), endpoints: [endpoint as EndpointStats], dhcp: [], dns: idleDns() };
}
