// The hot path allocates nothing: after a million frames of any kind the heap is as large as before. No time is measured
// here; `npm run bench:micro` does.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { WORKLOADS } from '../support/workloads.js';

const PROGRAM = fileURLToPath(new URL('./heap-program.js', import.meta.url));
const NURSERY = ['--min-semi-space-size=256', '--max-semi-space-size=256'];
/** What the engine itself needs now and then; one object per frame would be 16 MB and more in the lightest workload. */
const ALLOWED_BYTES = 512 * 1024;

describe('heap', function () {
  this.timeout(300_000);

  it('neither grows nor fills with garbage over a million frames of any workload', () => {
    const output = execFileSync(process.execPath, ['--expose-gc', ...NURSERY, PROGRAM, String(ALLOWED_BYTES)], {
      encoding: 'utf8',
    });
    const results = JSON.parse(output) as Record<string, { frames: number; retained: number; garbage: number }>;
    assert.deepEqual(Object.keys(results), [...WORKLOADS.map(({ name }) => name), 'injected']);
    for (const [name, { frames, retained, garbage }] of Object.entries(results)) {
      assert.ok(frames >= 20_000, name);
      assert.ok(retained < ALLOWED_BYTES, `${name}: the heap grew by ${retained} bytes`);
      assert.ok(garbage < ALLOWED_BYTES, `${name}: ${garbage} bytes of garbage for ${frames} frames`);
    }
  });
});
