// What captures refuse, and what happens to one whose disk is full.
import { strict as assert } from 'node:assert';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { CaptureRequest } from '../../src/control/controller/captures.js';
import { RequestError } from '../../src/model/problems.js';
import { pattern } from '../support/frame-builders.js';
import { useSmallDisk } from '../support/small-disk.js';
import { linesOf, useDirectory } from './capture-frames.js';
import { type CaptureLab, datagram, useCaptureLab } from './capture-lab.js';

describe('captures that cannot be', function refusals() {
  this.timeout(120_000);
  const directory = useDirectory();
  const useLab = useCaptureLab();
  let lab: CaptureLab;

  beforeEach(() => {
    lab = useLab();
  });

  describe('refuses', () => {
    const wrong: [string, CaptureRequest, string, RegExp][] = [
      ['a network and an endpoint', { network: 'front', endpoint: 'web' }, 'endpoint', /not both/],
      ['all and a network', { all: true, network: 'front' }, 'all', /neither/],
      ['the underlay of an endpoint', { underlay: true, endpoint: 'web' }, 'underlay', /of all tunnels/],
      ['a relative file', { file: 'capture.pcapng' }, 'file', /not an absolute path/],
      ['a bad name', { name: '../x' }, 'name', /letters/],
      ['a count of zero', { count: 0 }, 'count', /from 1/],
      ['half a frame', { count: 1.5 }, 'count', /from 1/],
      ['no duration', { duration: 0 }, 'duration', /more than 0/],
      ['an endless duration', { duration: 1e9 }, 'duration', /at most/],
      ['too large a snaplen', { snaplen: 262145 }, 'snaplen', /262144/],
      ['a filter that is none', { filter: 'nonsense filter' }, 'filter', /`nonsense filter` is no filter/],
      ['a directory as file', { file: '/tmp' }, 'file', /\/tmp/],
    ];
    for (const [what, request, path, message] of wrong) {
      it(what, async () => {
        const error = await lab.refusal({ file: lab.newFile(), ...request });
        assert.equal(error.code, 'invalid-request');
        assert.deepEqual(
          error.problems.map((problem) => problem.path),
          [path],
        );
        assert.match(error.message, message);
        assert.deepEqual([lab.captures.list(), lab.changes], [[], 0], 'nothing is left of it');
      });
    }

    it('a capture to nowhere, and a stream to a file', async () => {
      assert.match((await lab.refusal({})).message, /file/);
      await assert.rejects(lab.captures.stream({ file: lab.newFile() }), /a streamed capture has no file/);
    });

    it('a name that is taken', async () => {
      await lab.start({ name: 'night' });
      assert.equal((await lab.refusal({ name: 'night', file: lab.newFile() })).code, 'already-exists');
    });

    it('a file that another capture writes, also at the same moment', async () => {
      const { file } = await lab.start({});
      assert.match((await lab.refusal({ file })).message, /another capture is writing/);
      const contended = lab.newFile();
      const both = await Promise.allSettled([
        lab.captures.start({ file: contended }),
        lab.captures.start({ file: contended }),
      ]);
      assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    });

    it('nothing of a file that a capture had written before', async () => {
      const { name, file } = await lab.start({});
      await lab.captures.stop(name);
      await lab.start({ file });
    });

    it('to stop a capture that does not exist', async () => {
      await assert.rejects(
        lab.captures.stop('nobody'),
        (error: unknown) => error instanceof RequestError && error.code === 'not-found',
      );
    });
  });

  it('leaves a file alone when the filter is wrong', async () => {
    const file = lab.newFile();
    writeFileSync(file, 'precious');
    await lab.refusal({ file, filter: 'nonsense filter' });
    assert.equal(readFileSync(file, 'utf8'), 'precious');
  });

  describe('on a full disk', () => {
    const disk = useSmallDisk(() => directory.path('small-disk'), '512k');

    it('fails with the reason and a file that can be read, and nobody else notices', async () => {
      const file = `${disk()}/full.pcapng`;
      const failing = await lab.start({ name: 'failing', network: 'front', file });
      const other = await lab.start({ network: 'front' });
      const large = datagram(0, 1, 1, pattern(1000));
      let sent = 0;
      while (lab.ended.length === 0 && sent < 20_000) {
        for (let n = 0; n < 100; n++, sent++) lab.recorder.arrive(0, large);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const { state, reason, frames, lost } = lab.captures.find(failing.name)!;
      assert.deepEqual([state, reason], ['failed', 'the disk is full (ENOSPC)']);
      assert.ok(statSync(file).size <= 512 << 10);
      assert.equal(linesOf('tshark', ['-r', file]).length, frames, 'the file has what the numbers say');
      assert.ok(frames > 0 && lost > 0 && frames + lost <= sent);
      assert.equal((await other.frames()).length, sent);
    });
  });
});
