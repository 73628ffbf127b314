// Who may use weft: root and the group `weft` where it exists. Everybody else gets one clear line, never a stack trace.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { asNobody, NOBODY } from '../support/as-nobody.js';
import { WEFT } from '../support/system-daemon.js';
import { useLab } from '../support/system-lab.js';
import { createPair } from '../support/system-pair.js';
import { Background, type Outcome, run, waitFor } from '../support/system-process.js';

/** A group id that no machine gives out by itself (above the range of systemd's and Debian's allocations). */
const WEFT_GID = 64999;

describe('a user who is not root', function access() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  function as(gid: number, command: readonly string[]): Promise<Outcome> {
    return run(asNobody(command, gid), { cwd: '/' });
  }

  function weft(...parameters: string[]): string[] {
    return [process.execPath, WEFT, '--socket', daemon.socket, ...parameters];
  }

  function expectOneLine(outcome: Outcome, pattern: RegExp): void {
    assert.equal(outcome.status, 1, outcome.stderr);
    assert.match(outcome.stderr, /^[^\n]+\n$/, 'one line');
    assert.match(outcome.stderr, pattern);
    assert.equal(outcome.stdout, '');
  }

  it('and not in the group is refused by the socket, with what to do', async () => {
    for (const verb of [
      ['status'],
      ['network', 'list'],
      ['network', 'create', 'x', '--type', 'private'],
      ['--json', 'status'],
    ]) {
      expectOneLine(await as(NOBODY, weft(...verb)), /^error: .+ \(.*(permission|root|sudo|group).*\)\n$/i);
    }
    const reply = await as(NOBODY, ['curl', '--silent', '--unix-socket', daemon.socket, 'http://weft/v1/status']);
    assert.equal(reply.status, 7, 'curl: cannot connect');
    assert.deepEqual(await daemon.json('network', 'list'), []);
  });

  it('cannot enter a compartment', async () => {
    const { left } = await createPair(lab);
    expectOneLine(await as(NOBODY, weft('exec', left.compartment, '--', 'id')), /^error: /);
  });

  it('cannot start a daemon, and is told why', async () => {
    const directory = join(lab.directory, 'theirs');
    const [command, file] = daemon.command;
    const own = [
      '--socket',
      join(directory, 's'),
      '--state-dir',
      join(directory, 'd'),
      '--run-dir',
      join(directory, 'r'),
    ];
    expectOneLine(await as(NOBODY, [String(command), String(file), ...own]), /root/);
  });

  it('finds a socket that only root and its group may use', () => {
    const { mode, uid } = statSync(daemon.socket);
    assert.deepEqual([(mode & 0o777).toString(8), uid], ['660', 0]);
  });

  it('but in the group `weft` may use it', async () => {
    // A private view of /etc/group, so that the machine's own stays as it is.
    const [group, member] = [join(lab.directory, 'group'), lab.addDaemon('grouped')];
    copyFileSync('/etc/group', group);
    const others = readFileSync(group, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('weft:'));
    writeFileSync(group, `${[...others, `weft:x:${WEFT_GID}:`].join('\n')}\n`);
    chmodSync(lab.directory, 0o755);
    const script = 'mount --bind "$0" /etc/group && exec "$@"';
    const process = new Background([
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      group,
      ...member.command,
    ]);
    try {
      await waitFor('the daemon to answer', async () => {
        assert.equal(process.status, null, process.stderr);
        return await member
          .api('GET', '/v1/status')
          .then((reply) => reply.status === 200)
          .catch(() => false);
      });
      const { mode, gid } = statSync(member.socket);
      assert.deepEqual([(mode & 0o777).toString(8), gid], ['660', WEFT_GID]);
      const status = [String(member.command[0]), WEFT, '--socket', member.socket, 'status'];
      assert.equal((await as(WEFT_GID, status)).status, 0);
      expectOneLine(await as(NOBODY, status), /^error: /);
    } finally {
      assert.equal((await process.stop()).status, 0);
    }
  });
});
