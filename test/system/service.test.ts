// A real weftd under a service manager that the test plays: ready when it answers and not before, alive while its datapath
// turns, and gone in good order. With real systemd: scripts/try-service.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotifySocket } from '../support/notify-socket.js';
import { Daemon } from '../support/system-daemon.js';
import { Background, waitFor } from '../support/system-process.js';

const WATCHDOG_MS = 500;

describe('weftd under a service manager', function service() {
  this.timeout(120_000);
  let directory: string;
  let manager: NotifySocket;
  let daemon: Daemon;
  let weftd: Background;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'weft-service-'));
    daemon = new Daemon(directory);
    manager = await NotifySocket.listen(join(directory, 'notify'));
    const watchdog = { WATCHDOG_USEC: String(WATCHDOG_MS * 1000), WATCHDOG_PID: '' };
    weftd = new Background([...daemon.command, '--worker-fault', 'hang'], {
      env: { ...process.env, NOTIFY_SOCKET: manager.address, ...watchdog },
    });
  });
  after(async () => {
    if (weftd.status === null) await weftd.stop('SIGKILL');
    await manager.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('is ready when its API answers', async () => {
    await waitFor('READY=1', async () => manager.count('READY=1') === 1 || weftd.status !== null, 20_000, 1);
    assert.equal((await daemon.api('GET', '/v1/status')).status, 200, weftd.stderr);
    await waitFor('the third message', async () => manager.lines.length >= 3, 30_000, 5);
    assert.deepEqual(manager.lines.slice(0, 3), [
      'STATUS=Starting',
      'READY=1',
      'STATUS=Forwarding: 0 networks, 0 of 0 endpoints attached',
    ]);
  });

  it('feeds the watchdog in time although no frame comes', async () => {
    const gaps: number[] = [];
    let last = performance.now();
    let seen = manager.count('WATCHDOG=1');
    await waitFor(
      'twenty signs of life',
      async () => {
        const count = manager.count('WATCHDOG=1');
        if (count > seen) {
          gaps.push(performance.now() - last);
          last = performance.now();
          seen = count;
        }
        return gaps.length >= 20;
      },
      30_000,
      2,
    );
    // Most of them: the machine that runs the tests may have other things to do at one moment.
    gaps.sort((a, b) => a - b);
    assert.ok(gaps[15]! < WATCHDOG_MS, `gaps of ${gaps.map((gap) => gap.toFixed(0))} ms`);
  });

  it('tells what it does', async () => {
    await daemon.call('POST', '/v1/networks', { name: 'lab', type: 'private' });
    const line = 'STATUS=Forwarding: 1 network, 0 of 0 endpoints attached';
    await waitFor(line, async () => manager.count(line) === 1, 30_000, 5);
    await daemon.call('DELETE', '/v1/networks/lab');
  });

  it('is silent while it is stopped, and goes on afterwards', async () => {
    process.kill(weftd.child.pid!, 'SIGSTOP');
    try {
      const state = () => readFileSync(`/proc/${weftd.child.pid}/stat`, 'utf8').split(') ')[1]?.[0];
      await waitFor('it to be stopped', async () => state() === 'T', 30_000, 5);
      // Messages may have been on their way.
      let [count, since] = [manager.count('WATCHDOG=1'), performance.now()];
      await waitFor('silence for two periods', async () => {
        const now = manager.count('WATCHDOG=1');
        if (now !== count) [count, since] = [now, performance.now()];
        return performance.now() - since > 2 * WATCHDOG_MS;
      });
    } finally {
      process.kill(weftd.child.pid!, 'SIGCONT');
    }
    const before = manager.count('WATCHDOG=1');
    await waitFor('a sign of life', async () => manager.count('WATCHDOG=1') > before + 1, 30_000, 5);
  });

  it('does not feed it while the datapath hangs, and does again once weft has replaced the worker', async () => {
    const isReplaced = () => weftd.stderr.includes('the datapath worker died; starting another');
    const count = () => manager.count('WATCHDOG=1');
    let seen = count();
    let last = performance.now();
    let longest = 0;
    process.kill(weftd.child.pid!, 'SIGUSR2');
    await waitFor(
      'the worker to be replaced',
      async () => {
        longest = Math.max(longest, performance.now() - last);
        if (count() > seen) last = performance.now();
        seen = count();
        return isReplaced();
      },
      30_000,
      2,
    );
    await waitFor('five signs of life', async () => count() >= seen + 5, 30_000, 5);
    // Fed every 100 ms before; the worker is given up after some 600 ms.
    assert.ok(longest > 300, `longest gap ${longest.toFixed(0)} ms`);
    assert.equal((await daemon.api('GET', '/v1/status')).body.worker, 'running');
  });

  it('says that it stops, and ends with status 0', async () => {
    const { status, stderr } = await weftd.stop('SIGTERM', 10_000);
    assert.equal(status, 0, stderr);
    await waitFor('STOPPING=1', async () => manager.count('STOPPING=1') === 1, 30_000, 5);
    assert.equal(manager.lines.at(-1), 'STATUS=Stopping; interfaces of endpoints stay');
  });
});
