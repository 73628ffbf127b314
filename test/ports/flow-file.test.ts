// The file of the flow table: room is claimed before it is touched, so a full file system refuses flows and ends nobody.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mapFlowFile, openFlowMemory } from '../../src/ports/flow-file.js';
import { FlowListing } from '../../src/tables/flow-listing.js';
import { isFlowMemory } from '../../src/tables/flow-memory.js';
import { useSmallDisk } from '../support/small-disk.js';

const PROGRAM = fileURLToPath(new URL('./flow-file-program.js', import.meta.url));

describe('flow file', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'weft-flow-file-'));
  after(() => rmSync(scratch, { recursive: true, force: true }));

  it('makes its directory, is empty at first, takes little room, and is the same for a reader', () => {
    const path = join(scratch, 'run', 'weft', 'flows.bin');
    const words = new Int32Array(mapFlowFile(path));
    assert.deepEqual([isFlowMemory(words), new FlowListing(words).rows], [false, 0]);
    openFlowMemory(path);
    assert.deepEqual([isFlowMemory(words), new FlowListing(words).rows], [true, 0]);
    const { size, blocks } = statSync(path);
    assert.ok(size > 100 << 20 && blocks * 512 < 1 << 20, `${blocks} blocks`);
  });

  it('is refused with a reason when it cannot be memory', () => {
    const file = join(scratch, 'no-directory');
    writeFileSync(file, '');
    assert.throws(() => mapFlowFile(join(file, 'flows.bin')), /cannot map .*: EEXIST \(the run directory must/);
    assert.throws(() => openFlowMemory('/dev/full'), /cannot map \/dev\/full, the memory of the flow table: EPERM \(/);
  });

  describe('on a disk that is soon full', () => {
    const disk = useSmallDisk(() => join(scratch, 'disk'), '1m');

    it('has room for as many flows as fit, keeps them over restarts, and says no to more', () => {
      const path = join(disk(), 'flows.bin');
      const said = JSON.parse(execFileSync(process.execPath, [PROGRAM, path], { encoding: 'utf8', timeout: 50_000 }));
      assert.ok(said.opened > 8000 && said.opened < 20_000, `${said.opened} flows`);
      assert.deepEqual(said, { opened: said.opened, kept: said.opened, surplus: -1, reused: 100 });
      rmSync(path);
    });

    it('is refused when not even the header has room', () => {
      const fill = (): void => {
        for (let i = 0; i < 1000; i++) writeFileSync(join(disk(), 'filler'), Buffer.alloc(4096), { flag: 'a' });
      };
      assert.throws(fill, /ENOSPC/);
      const path = join(disk(), 'flows.bin');
      const run = (): string => execFileSync(process.execPath, [PROGRAM, path], { encoding: 'utf8', stdio: 'pipe' });
      assert.throws(run, /cannot map .*: ENOSPC \(the run directory must be on/);
    });
  });
});
