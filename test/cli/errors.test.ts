/** Failures of the command line tool: one line on stderr with what to do, nothing on stdout, the right exit status. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';

describe('CLI: failures', () => {
  let lab: ApiLab;

  before(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    await lab.listen();
  });

  after(() => lab.close());

  const weft = (...parameters: string[]) => runWeft(lab.socketPath, parameters);

  async function fails(status: number, line: RegExp, ...parameters: string[]): Promise<void> {
    const outcome = await weft(...parameters);
    assert.deepEqual([outcome.status, outcome.stdout], [status, ''], outcome.stderr);
    assert.match(outcome.stderr, /^error: [^\n]*\n$/, 'one line');
    assert.match(outcome.stderr, line);
  }

  it('a command line that is wrong is told in one line, with status 2', async () => {
    await fails(2, /^error: unknown command 'netwrok'; did you mean network\? \(see weft --help\)$/m, 'netwrok');
    await fails(2, /weft network needs a verb \(create, list, show, set, delete; see weft network --help\)/, 'network');
    await fails(2, /unknown command 'frob' \(see weft network --help\)/, 'network', 'frob');
    await fails(2, /missing required argument 'NAME'/, 'network', 'show');
    await fails(2, /required option '--type <TYPE>' not specified/, 'network', 'create', 'n');
    await fails(2, /unknown option '--color'/, 'network', 'list', '--color');
    await fails(
      2,
      /option '--vni' is one of weft network create only \(that cannot change while the network exists; delete the network and create it/,
      ...['network', 'set', 'n', '--vni', '5'],
    );
    await fails(2, /option '--host-vnic' is one of weft network create only/, 'network', 'set', 'n', '--host-vnic');
    await fails(2, /unknown option '--color'/, 'network', 'set', 'n', '--color');
    await fails(2, /too many arguments/, 'network', 'show', 'a', 'b');
    await fails(
      2,
      /--mtu.*'9'.*whole number from 68 to 65521/,
      'network',
      'create',
      'n',
      '--type',
      'private',
      '--mtu',
      '9',
    );
    const forTooLong = ['stats', '--watch', '--interval', '9999999', '--count', '1'];
    await fails(2, /--interval.*'9999999'.*a number of seconds is wanted, up to 2147483/, ...forTooLong);
    await fails(2, /--mtu.*'1e3'/, 'network', 'create', 'n', '--type', 'private', '--mtu', '1e3');
    await fails(
      2,
      /'--vlan <ID>' cannot be used with option '--trunk <IDS>'/,
      'endpoint',
      'set',
      'e',
      '--vlan',
      '5',
      '--trunk',
      'all',
    );
    await fails(2, /'--native-vlan' needs '--trunk'/, 'endpoint', 'set', 'e', '--native-vlan', '5');
    await fails(2, /10,20-30 or all/, 'endpoint', 'set', 'e', '--trunk', '30-20');
    await fails(2, /nothing to change/, 'network', 'set', 'back');
    await fails(
      2,
      /'--pid <PID>' cannot be used with|'--netns <PATH>' cannot be used with/,
      'compartment',
      'create',
      'c',
      '--pid',
      '1',
      '--netns',
      '/x',
    );
    await fails(2, /needs a file: -w FILE/, 'capture', 'start', '--all');
    await fails(2, /Allowed choices are bash, zsh/, 'completion', 'fish');
  });

  it('a refusal of the daemon says what, why and what to do, with status 1', async () => {
    await fails(
      1,
      /^error: cannot show network nowhere \(there is no network nowhere; .+\)$/m,
      'network',
      'show',
      'nowhere',
    );
    await fails(1, /^error: cannot read the counters \(there is no network no; .+\)$/m, 'stats', '--network', 'no');
    await fails(
      1,
      /^error: cannot delete network back \(network back has 1 endpoint .+; .*--force.*\)$/m,
      'network',
      'rm',
      'back',
    );
    await fails(
      1,
      /cannot create network -?x\/y \(name: must be 1 to 63 .*; correct the request\)/,
      'network',
      'create',
      'x/y',
      '--type',
      'private',
    );
    await fails(1, /subnets\[0\]: /, 'network', 'create', 'n', '--type', 'private', '--subnet', '10.0.0.0/33');
  });

  it('a network type of a later version is refused with those that there are', async () => {
    const expected = /transparent networks are not in this version; supported: private, internal, nat, overlay/;
    await fails(1, expected, 'network', 'create', 'n', '--type', 'transparent', '--mtu', '1400');
    await fails(1, expected, 'network', 'create', 'n', '--mtu', '1400', '--type', 'transparent');
  });

  it('a daemon that does not answer is said so, with the socket and how to start it', async () => {
    const path = join(lab.directory, 'nobody.sock');
    const outcome = await runWeft(path, ['network', 'list']);
    assert.equal(outcome.status, 1);
    assert.equal(
      outcome.stderr,
      `error: weftd does not answer on ${path} (there is no such socket; start it as root: \`weftd\`, or name its socket with --socket or WEFT_SOCKET)\n`,
    );
  });

  it('an answer that is none of weft is no crash', async () => {
    const path = join(lab.directory, 'other.sock');
    for (const text of ['HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops', 'SSH-2.0-server\r\n', '']) {
      const other = createServer().on('connection', (socket) => socket.end(text));
      await new Promise<void>((resolve) => other.listen(path, resolve));
      const outcome = await runWeft(path, ['network', 'list']);
      assert.equal(outcome.status, 1);
      assert.match(outcome.stderr, /^error: cannot list the networks \(.*\)\n$/);
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it('nothing that the daemon or the user says can act on the terminal', async () => {
    const trick = '\u001b[2J\u202e';
    await fails(1, /\\u001b/, 'network', 'show', trick);
    const named = await ApiLab.start({
      override: {
        listCompartments: () => [
          {
            name: 'x',
            netns: null,
            pid: null,
            id: '',
            path: `/run/${trick}`,
            owned: true,
            state: 'ready',
            endpoints: [],
          },
        ],
      },
    });
    await named.listen();
    const outcome = await runWeft(named.socketPath, ['compartment', 'list']);
    assert.match(outcome.stdout, /\/run\/\\u001b\[2J\\u202e/);
    await named.close();
  });

  it('exec says what keeps it from running a command', async () => {
    const exec = (native: object, isRoot = true) =>
      runWeft(lab.socketPath, ['exec', 'web', '--', 'prog', '-x'], { isRoot, loadNative: async () => native as never });
    const works = { openNamespace: () => 9, enterNamespace: () => 0, execProgram: () => -2 };
    const outcomes = [
      await exec({}, false),
      await exec({ ...works, openNamespace: () => -2 }),
      await exec({ ...works, enterNamespace: () => -1 }),
      await exec({ ...works, execProgram: () => -13 }),
      await exec(works),
    ];
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [1, 126, 126, 126, 127],
    );
    assert.match(outcomes[0]!.stderr, /only root may enter a namespace; use sudo weft exec web/);
    assert.match(outcomes[4]!.stderr, /^error: cannot run prog in web \(there is no such command; .*PATH\)$/m);
    const called: unknown[] = [];
    await exec({ ...works, execProgram: (...all: unknown[]) => called.push(all) && -2 });
    assert.deepEqual(called, [['prog', ['-x']]]);
  });
});
