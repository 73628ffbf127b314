// Starting and stopping the daemon: what a bad start says, and what a state file that cannot be used leads to.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { useLab } from '../support/system-lab.js';
import { createPair } from '../support/system-pair.js';
import { must, type Outcome } from '../support/system-process.js';

describe('a start of the daemon', function startUp() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  function expectRefusal(outcome: Outcome, pattern: RegExp): void {
    assert.equal(outcome.status, 1, outcome.stderr);
    assert.match(outcome.stderr, /^[^\n]+\n$/, 'one line');
    assert.match(outcome.stderr, pattern);
  }

  it('ends with 0 on SIGTERM and on SIGINT, and takes its socket away', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const other = lab.addDaemon(`signal-${signal}`);
      await other.start();
      assert.ok(existsSync(other.socket));
      process.kill(other.pid, signal);
      assert.equal((await other.terminate()).status, 0);
      assert.equal(existsSync(other.socket), false);
    }
  });

  it('that finds a stale socket of a killed daemon takes it over', async () => {
    await daemon.kill();
    assert.ok(existsSync(daemon.socket), 'kill -9 leaves the socket file');
    await daemon.start();
  });

  it('refuses a configuration that it does not understand, naming the file and the field', async () => {
    const file = join(lab.directory, 'bad.yaml');
    const other = lab.addDaemon('bad-config');
    for (const [text, pattern] of [
      ['{ this is: [not yaml', /bad\.yaml/],
      ['nonsense: 1\n', /nonsense/],
    ] as const) {
      writeFileSync(file, text);
      expectRefusal(await other.spawn(['--config', file]).end(), pattern);
    }
    expectRefusal(await other.spawn(['--config', `${file}-missing`]).end(), /bad\.yaml-missing/);
    expectRefusal(await other.spawn(['--log-level', 'chatty']).end(), /chatty|log-level/);
  });

  it('without /dev/net/tun fails with one line that says so', async () => {
    const other = lab.addDaemon('no-tun');
    mkdirSync(other.directory, { recursive: true });
    const script = 'mount -t tmpfs none /dev/net && exec "$@"';
    const outcome = await lab
      .background(null, ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...other.command])
      .end();
    expectRefusal(outcome, /\/dev\/net\/tun/);
  });
});

describe('a state file that cannot be used', function stateFile() {
  this.timeout(120_000);
  const lab = useLab();

  for (const [sentence, text] of [
    ['half-written', '{"weft":1,"instance":"'],
    ['full of zeros', '\0'.repeat(4096)],
    ['that is valid JSON of another kind', '[1,2,3]'],
    ['empty', ''],
  ] as const) {
    it(`(${sentence}) is set aside with a clear message, and the daemon starts`, async () => {
      const daemon = lab.addDaemon(`corrupt-${sentence.replaceAll(/\W/g, '')}`);
      await daemon.start();
      await daemon.terminate();
      const file = join(daemon.stateDir, 'state.json');
      writeFileSync(file, text);
      await daemon.start();
      const aside = readdirSync(daemon.stateDir).filter((name) => name.startsWith('state.json.corrupt-'));
      assert.equal(aside.length, 1, String(readdirSync(daemon.stateDir)));
      assert.equal(readFileSync(join(daemon.stateDir, String(aside[0])), 'utf8'), text, 'nothing of it is lost');
      const { warnings } = await daemon.call('GET', '/v1/status');
      assert.ok(
        warnings.some((warning: string) => warning.includes(String(aside[0]))),
        `status names the file: ${warnings}`,
      );
      assert.ok((await daemon.ok('status')).includes(String(aside[0])));
      const events: { message: string }[] = await daemon.call('GET', '/v1/events');
      assert.ok(events.some((event) => event.message.includes(String(aside[0]))));
      assert.ok(daemon.log.includes(String(aside[0])), 'and so does the log');
      await daemon.call('POST', '/v1/networks', { name: 'again', type: 'private' });
      await daemon.kill();
      await daemon.start();
      assert.equal((await daemon.call('GET', '/v1/networks')).length, 1, 'state is durable again');
      await daemon.call('DELETE', '/v1/networks/again');
    });
  }

  it('is written for root alone', async () => {
    const file = join(lab.daemon.stateDir, 'state.json');
    await lab.daemon.call('POST', '/v1/networks', { name: lab.name('secret'), type: 'private' });
    assert.equal((statSync(file).mode & 0o077).toString(8), '0');
  });

  it('that was lost with its directory leaves nothing of the old lab in the way of a new one', async () => {
    const daemon = lab.addDaemon('lost');
    await daemon.start();
    const pair = await createPair(lab, { daemon });
    await daemon.kill();
    await must(['rm', '-r', daemon.stateDir]);
    await daemon.start();
    assert.deepEqual(await daemon.call('GET', '/v1/endpoints'), []);
    const remake = await daemon.api('POST', '/v1/compartments', { name: pair.left.compartment });
    assert.equal(remake.status, 201, `the namespace that weft made was cleaned up: ${remake.text}`);
  });
});
