/** The daemon as a program: what it is told, faults of the start in one line with status 1, and its end. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/api-lab.js';
import { asNobody } from '../support/as-nobody.js';
import { runWeft } from '../support/cli-runner.js';

const WEFTD = fileURLToPath(new URL('../../daemon/weftd.js', import.meta.url));
const WEFT = fileURLToPath(new URL('../../daemon/weft.js', import.meta.url));
const isRoot = process.geteuid?.() === 0;

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

describe('weftd', function daemon() {
  this.timeout(120_000);
  let directory: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), `weft-daemon-${process.pid}-`));
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  function start(command: string[]): { child: ChildProcess; done: Promise<Outcome> } {
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    const outcome: Outcome = { status: null, stdout: '', stderr: '' };
    child.stdout!.on('data', (chunk) => {
      outcome.stdout += chunk;
    });
    child.stderr!.on('data', (chunk) => {
      outcome.stderr += chunk;
    });
    const done = new Promise<Outcome>((resolve) => child.once('close', (status) => resolve({ ...outcome, status })));
    return { child, done };
  }

  const weftd = (...parameters: string[]) => start([process.execPath, WEFTD, ...parameters]).done;
  const places = (name = 'one') => [
    ...['--socket', join(directory, name, 'weft.sock')],
    ...['--state-dir', join(directory, name, 'state'), '--run-dir', join(directory, name, 'run')],
  ];

  async function refuses(line: RegExp, ...parameters: string[]): Promise<void> {
    const { status, stdout, stderr } = await weftd(...parameters);
    assert.deepEqual([status, stdout], [1, ''], stderr);
    assert.match(stderr, /^error: [^\n]+\n$/, 'one line');
    assert.match(stderr, line);
  }

  it('tells its options and its version', async () => {
    const help = await weftd('--help');
    assert.deepEqual([help.status, help.stderr], [0, '']);
    for (const option of ['--config FILE', '--socket PATH', '--state-dir DIR', '--run-dir DIR', '--log-level LEVEL']) {
      assert.ok(help.stdout.includes(option), option);
    }
    assert.match((await weftd('--version')).stdout, /^weftd \d+\.\d+\.\d+\n$/);
  });

  it('refuses a command line or a configuration that is wrong, and says where', async () => {
    const config = (text: string) => {
      const file = join(directory, 'weft.yaml');
      writeFileSync(file, text);
      return ['--config', file];
    };
    await refuses(/Unknown option '--color'.*weftd --help/, '--color');
    await refuses(/'extra'/, 'extra');
    await refuses(/--socket.*(argument missing|is empty)/, '--socket=');
    await refuses(/--log-level must be one of trace, debug, info/, '--log-level', 'loud');
    await refuses(/bad config: there is no .*nowhere\.yaml/, '--config', join(directory, 'nowhere.yaml'));
    await refuses(
      /bad config: .* has an unknown key "sockett"; known: socket, stateDir, runDir, logLevel/,
      ...config('sockett: /x'),
    );
    await refuses(/bad config: socket in .* must be a string/, ...config('socket: [1]'));
    await refuses(/bad config: logLevel in .* must be one of/, ...config('logLevel: loud'));
    await refuses(/bad config: .* is not YAML/, ...config('socket: "'));
    await refuses(/bad config: .* holds no mapping/, ...config('- 1'));
  });

  it('needs root, and says so', async function nobody() {
    if (!isRoot) this.skip();
    const { status, stderr } = await start(asNobody([process.execPath, WEFTD, ...places()])).done;
    assert.deepEqual([status, stderr.startsWith('error: not root: ')], [1, true], stderr);
  });

  it('needs /dev/net/tun, and says so', async function withoutTun() {
    if (!isRoot) this.skip();
    const hide = 'mount -t tmpfs none /dev/net && exec "$@"';
    const { status, stderr } = await start([
      'unshare',
      '-m',
      'sh',
      '-c',
      hide,
      'sh',
      process.execPath,
      WEFTD,
      ...places(),
    ]).done;
    assert.equal(status, 1);
    assert.match(stderr, /^error: no \/dev\/net\/tun: .*modprobe tun.*\n$/);
  });

  it('runs, keeps others off its socket and its state, and ends with status 0', async function whole() {
    if (!isRoot) this.skip();
    const file = join(directory, 'weft.yaml');
    writeFileSync(file, `socket: ${join(directory, 'elsewhere.sock')}\nlogLevel: debug\n`);
    const { child, done } = start([process.execPath, WEFTD, '--config', file, ...places()]);
    const socket = join(directory, 'one', 'weft.sock');
    await eventually(() => existsSync(socket), 'it listens', 20_000);
    assert.equal(statSync(socket).mode & 0o777, 0o660);
    assert.equal((await runWeft(socket, ['status'])).status, 0);

    await refuses(/^error: socket in use: a daemon answers on .*weft\.sock \(.*--socket\)$/m, ...places());
    await refuses(
      /state directory .* is in use by the weftd with process id/,
      ...places(),
      '--socket',
      join(directory, 'two.sock'),
    );

    const outsider = await start(asNobody([process.execPath, WEFT, '--socket', socket, 'status'])).done;
    assert.equal(outsider.status, 1);
    assert.match(outsider.stderr, /^error: permission denied on .* \(only root.*\)\n$/);

    child.kill('SIGTERM');
    const outcome = await done;
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(!existsSync(socket), 'the socket is removed');
    const lines = outcome.stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(
      lines.some((line) => line.msg === 'ready' && line.level === 'info'),
      'JSON lines, as stderr is no terminal',
    );
    assert.ok(
      lines.some((line) => line.msg === 'request' && line.level === 'debug'),
      'the configuration counts',
    );
    assert.ok(!existsSync(join(directory, 'elsewhere.sock')), 'the command line wins');
  });

  it('logs what Node warns of like everything else', async function warnings() {
    if (!isRoot) this.skip();
    // As soon as somebody listens, so that it does not matter when that is.
    const program = `process.on('newListener', (event) => {
      if (event === 'warning') process.emitWarning('too old', 'DeprecationWarning', 'DEP0999');
    });`;
    const preload = ['--import', `data:text/javascript,${encodeURIComponent(program)}`];
    const { child, done } = start([process.execPath, ...preload, WEFTD, ...places()]);
    await eventually(() => existsSync(join(directory, 'one', 'weft.sock')), 'it listens', 20_000);
    child.kill('SIGTERM');
    const { status, stderr } = await done;
    assert.equal(status, 0, stderr);
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const told = lines.filter(({ level }) => level === 'warn').map(({ warning, msg }) => [warning, msg]);
    assert.deepEqual(told, [['DEP0999', 'too old']]);
  });
});
