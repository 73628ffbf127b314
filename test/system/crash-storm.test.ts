// "kill -9 of the daemon in the middle of create/delete/attach storms under traffic: comes back with exactly what was
// acknowledged, no leaked TAP, namespace or address." A short run of the crash rig (scripts/crash; `npm run crash` runs it
// for hundreds of rounds).
import assert from 'node:assert/strict';
import { prepareLab, runCrashes } from '../../scripts/crash/crash-rig.js';
import { useLab } from '../support/system-lab.js';

const ROUNDS = 12;
const SEED = Number(process.env.WEFT_TEST_SEED ?? 20251121);

describe('kill -9 in the middle of a storm of requests, under traffic', function crashStorm() {
  this.timeout(240_000);
  const lab = useLab();
  prepareLab(lab);

  it(`comes back ${ROUNDS} times with exactly what was acknowledged and leaks nothing (seed ${SEED})`, async () => {
    const lines: string[] = [];
    const report = await runCrashes(lab, { rounds: ROUNDS, seed: SEED, say: (line) => lines.push(line) });
    assert.deepEqual([report.rounds, lines.length], [ROUNDS, ROUNDS]);
    assert.ok(report.acknowledged > 8 * ROUNDS, `the storms were storms: ${report.acknowledged} acknowledged requests`);
    assert.ok(report.workerFaults > 0, 'workers failed too');
    assert.ok(report.transferredBytes > 0, 'and a transfer crossed all of it');
  });
});
