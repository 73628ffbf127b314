// The datagram of sd_notify(3): both kinds of addresses, and nobody there.
import { strict as assert } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorName, native } from '../../src/native/index.js';
import { NotifySocket } from '../support/notify-socket.js';
import { waitFor } from '../support/system-process.js';

describe('native: notifySupervisor', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  for (const kind of ['a path', 'an abstract name'] as const) {
    it(`delivers each message whole to ${kind}`, async () => {
      const address = kind === 'a path' ? join(directory, 'notify') : `@weft-test-${process.pid}`;
      const socket = await NotifySocket.listen(address);
      try {
        const long = `STATUS=${'ü'.repeat(1000)}\n`;
        assert.equal(native.notifySupervisor(address, 'READY=1\nSTATUS=here\n'), 0);
        assert.equal(native.notifySupervisor(address, long), 0);
        await waitFor('two messages', async () => socket.lines.length === 3, 5000, 5);
        assert.deepEqual(socket.lines, ['READY=1', 'STATUS=here', long.trim()]);
      } finally {
        await socket.close();
      }
    });
  }

  it('says why a message was not delivered', () => {
    const answers = [
      native.notifySupervisor(join(directory, 'nobody'), 'READY=1'),
      native.notifySupervisor(`@weft-test-nobody-${process.pid}`, 'READY=1'),
    ];
    assert.deepEqual(answers.map(errorName), ['ENOENT', 'ECONNREFUSED']);
  });

  it('refuses what is no address or no message', () => {
    const path = join(directory, 'notify');
    const answers = [
      native.notifySupervisor('', 'READY=1'),
      native.notifySupervisor('/', 'READY=1'),
      native.notifySupervisor('@', 'READY=1'),
      native.notifySupervisor('relative', 'READY=1'),
      native.notifySupervisor(`/${'x'.repeat(107)}`, 'READY=1'),
      native.notifySupervisor(path, ''),
      native.notifySupervisor(path, 'x'.repeat(4096)),
      native.notifySupervisor(path, 'READY=1\0'),
    ];
    assert.deepEqual(
      answers.map(errorName),
      answers.map(() => 'EINVAL'),
    );
  });
});
