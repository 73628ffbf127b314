// Commands whose outcome others build on: `weft exec`, `weft events`, exit statuses, one JSON document, HTTP with curl.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { WEFT } from '../support/system-daemon.js';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { must, waitFor } from '../support/system-process.js';

const IDLE_CONNECTIONS = 1000;

describe('weft exec', function weftExec() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab);
  });

  const exec = (...command: string[]) => daemon.weft(['exec', pair.left.compartment, '--', ...command]);

  it('runs a command in the compartment and nowhere else', async () => {
    const outcome = await exec('ip', '-brief', 'link', 'show', 'dev', 'eth0');
    assert.equal(outcome.status, 0, outcome.stderr);
    assert.ok(outcome.stdout.includes(pair.left.mac));
    const inode = (await exec('readlink', '/proc/self/ns/net')).stdout;
    assert.equal(inode, await lab.inside(pair.left.base, ['readlink', '/proc/self/ns/net']));
  });

  it('passes the exit status through, also that of a signal', async () => {
    for (const status of [0, 1, 2, 42, 255]) assert.equal((await exec('sh', '-c', `exit ${status}`)).status, status);
    assert.equal((await exec('sh', '-c', 'kill -9 $$')).status, 137);
    assert.equal((await exec('sh', '-c', 'kill -TERM $$')).status, 143);
  });

  it('passes arguments, standard input and output through untouched', async () => {
    const words = ['two words', '--json', '-h', '', '$HOME', '*', '\\', 'ü'];
    assert.equal((await exec('printf', '%s\\n', ...words)).stdout, `${words.join('\n')}\n`);
    const input = Buffer.alloc(300_000, 'weft');
    const outcome = await daemon.weft(['exec', pair.left.compartment, '--', 'sha256sum'], { input });
    assert.equal(outcome.stdout, execFileSync('sha256sum', { input }).toString());
    const both = await exec('sh', '-c', 'echo out; echo err >&2');
    assert.deepEqual([both.stdout, both.stderr], ['out\n', 'err\n']);
  });

  it('says 127 for a program that does not exist and 1 for a compartment that does not, each with one line', async () => {
    const program = await exec('no-such-program-anywhere');
    assert.equal(program.status, 127);
    assert.match(program.stderr, /^error: .*no-such-program-anywhere.*\n$/);
    const compartment = await daemon.weft(['exec', lab.name('nowhere'), '--', 'true']);
    assert.equal(compartment.status, 1);
    assert.match(compartment.stderr, new RegExp(`^error: .*${lab.name('nowhere')}.*\\n$`));
  });

  it('is gone without a trace when its command ends by an interrupt', async () => {
    const command = ['exec', pair.left.compartment, '--', 'sleep', '321'];
    const running = lab.background(null, [process.execPath, WEFT, '--socket', daemon.socket, ...command]);
    await waitFor('sleep to run', () =>
      execFileSync('ps', ['-p', String(running.pid), '-o', 'args='])
        .toString()
        .startsWith('sleep 321'),
    );
    assert.equal((await running.stop('SIGINT')).status, 130);
  });
});

describe('the command line', function commandLine() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  it('ends with 2 for usage errors and with 1 for refusals, with one line on stderr and nothing on stdout', async () => {
    for (const usage of [
      [],
      ['nonsense'],
      ['network', 'nonsense'],
      ['network', 'create'],
      ['network', 'list', '--nonsense'],
    ]) {
      const outcome = await daemon.weft(usage);
      assert.equal(outcome.status, 2, `weft ${usage.join(' ')}: ${outcome.stderr}`);
    }
    const name = lab.name('x');
    for (const refused of [
      ['network', 'show', name],
      ['network', 'create', name, '--type', 'private', '--subnet', '10.0.0.0/99'],
      ['network', 'create', '../etc', '--type', 'private'],
      ['endpoint', 'create', name, '--network', name, '--compartment', name],
      ['compartment', 'create', name, '--netns', '/etc/passwd'],
      ['compartment', 'create', name, '--pid', '4194304'],
      ['compartment', 'delete', name],
    ]) {
      const outcome = await daemon.weft(refused);
      assert.equal(outcome.status, 1, `weft ${refused.join(' ')}: ${outcome.stderr}`);
      assert.match(outcome.stderr, /^error: [^\n]+ \([^\n]+\)\n$/, `weft ${refused.join(' ')}`);
      assert.equal(outcome.stdout, '');
    }
    for (const noun of ['network', 'compartment', 'endpoint']) assert.deepEqual(await daemon.json(noun, 'list'), []);
  });

  it('says what to do when no daemon answers', async () => {
    const missing = await must([
      'sh',
      '-c',
      `${process.execPath} ${WEFT} --socket /run/no-such/weft.sock status 2>&1; echo $?`,
    ]);
    assert.match(missing, /^error: [^\n]+ \([^\n]*weftd[^\n]*\)\n1\n$/);
  });

  it('takes the socket from WEFT_SOCKET', async () => {
    const env = { ...process.env, WEFT_SOCKET: daemon.socket };
    const status = JSON.parse(await must([process.execPath, WEFT, '--json', 'status'], { env }));
    assert.equal(status.pid, daemon.pid);
  });

  it('follows events live, and lists those that were', async () => {
    const follow = lab.background(null, [
      process.execPath,
      WEFT,
      '--socket',
      daemon.socket,
      '--json',
      'events',
      '--follow',
    ]);
    const name = lab.name('eventful');
    // The stream begins at an unknown moment: networks are made until it says so.
    await waitFor(
      'an event of the stream',
      async () => {
        await daemon.call('POST', '/v1/networks', { name, type: 'private' });
        await daemon.call('DELETE', `/v1/networks/${name}`);
        return follow.stdout.includes(name);
      },
      10_000,
      200,
    );
    await follow.stop('SIGINT');
    for (const line of follow.stdout.trimEnd().split('\n')) assert.equal(typeof JSON.parse(line).sequence, 'number');
    const events: { type: string; name: string; sequence: number }[] = await daemon.json('events');
    const mine = events.filter((event) => event.name === name).map((event) => event.type);
    assert.ok(mine.includes('network-created') && mine.includes('network-deleted'), String(mine));
    const numbers = events.map((event) => event.sequence);
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
  });

  it('doctor finds the machine fit, and says so as text and as JSON', async () => {
    const outcome = await daemon.weft(['doctor']);
    assert.equal(outcome.status, 0, outcome.stdout + outcome.stderr);
    assert.match(outcome.stdout, /\/dev\/net\/tun/);
    JSON.parse((await daemon.weft(['--json', 'doctor'])).stdout);
  });

  it('answers curl as the contract has it, with metrics and an OpenAPI document', async () => {
    const curl = ['curl', '--silent', '--fail', '--max-time', '5', '--unix-socket', daemon.socket];
    assert.deepEqual(JSON.parse(await must([...curl, 'http://weft/v1/networks'])), []);
    assert.match(await must([...curl, 'http://weft/metrics']), /^# HELP weft_/m);
    assert.match(JSON.parse(await must([...curl, 'http://weft/v1/openapi.json'])).openapi, /^3\./);
  });

  it('works beside a thousand idle connections and clients that never read', async () => {
    const sockets: Socket[] = [];
    try {
      for (let number = 0; number < IDLE_CONNECTIONS; number++) {
        const socket = connect(daemon.socket);
        socket.on('error', () => {});
        if (number % 100 === 0) {
          socket.pause();
          socket.write('GET /v1/events?follow=true HTTP/1.1\r\nHost: weft\r\n\r\n');
        }
        sockets.push(socket);
      }
      await waitFor('the connections', () => sockets.every((socket) => !socket.connecting));
      const name = lab.name('busy');
      const times: number[] = [];
      for (let round = 0; round < 20; round++) {
        const startedAt = performance.now();
        await daemon.call('POST', '/v1/networks', { name, type: 'private' });
        await daemon.call('DELETE', `/v1/networks/${name}`);
        times.push(performance.now() - startedAt);
      }
      // Half of them: the machine that runs the tests may have other things to do.
      times.sort((a, b) => a - b);
      assert.ok(times[10]! < 2_000, `${times.map((time) => time.toFixed(0))} ms`);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
    assert.equal((await daemon.api('GET', '/v1/status')).status, 200);
  });

  it('survives bytes that are no HTTP, bodies that are too large and JSON that is none', async () => {
    const huge = await daemon
      .api('POST', '/v1/networks', `{"name":"${'x'.repeat(3e6)}"}`)
      .catch(() => ({ status: 413, type: '' }));
    assert.equal(huge.status, 413);
    for (const body of ['{', '[]', '"x"', 'null', '{"name":1}', '{"name":"x","type":"private","colour":"red"}', '\0']) {
      const reply = await daemon.api('POST', '/v1/networks', body);
      assert.equal(reply.status, 400, `${body}: ${reply.text}`);
      assert.match(reply.type, /^application\/problem\+json/);
      assert.equal(typeof reply.body.code, 'string');
    }
    await new Promise<void>((resolve) => {
      const socket = connect(daemon.socket, () => socket.end('\x16\x03\x01 no HTTP at all\r\n\r\n'));
      socket
        .on('error', () => {})
        .on('close', () => resolve())
        .resume();
    });
    assert.deepEqual(await daemon.call('GET', '/v1/networks'), []);
  });
});
