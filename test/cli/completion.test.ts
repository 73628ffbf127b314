/** The completion scripts in real shells: words of the command tree, and names of objects from the daemon. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';

const WEFT = fileURLToPath(new URL('../../daemon/weft.js', import.meta.url));

/** What stands on the command line, the last word being completed, and what is offered. */
const COMPLETIONS: [string[], string[]][] = [
  [['net'], ['network']],
  [['c'], ['compartment', 'capture', 'cluster', 'completion']],
  [
    ['network', ''],
    ['create', 'list', 'show', 'set', 'delete'],
  ],
  [
    ['network', 'show', ''],
    ['back', 'front'],
  ],
  [['network', 'inspect', 'f'], ['front']],
  [['network', 'show', 'back', ''], []],
  [['network', 'list', ''], []],
  [
    ['network', 'create', 'n', '--type', ''],
    ['private', 'internal', 'nat', 'overlay'],
  ],
  [['network', 'create', 'n', '--storm-b'], ['--storm-broadcast']],
  [
    ['network', 'create', 'n', '--mapping', ''],
    ['endpoint-independent', 'address-and-port-dependent'],
  ],
  [['network', 'set', 'back', '--routes-to', 'f'], ['front']],
  [['network', 'set', 'back', '--no-h'], ['--no-hairpin']],
  [
    ['port', ''],
    ['publish', 'list', 'unpublish'],
  ],
  [['port', 'publish', 'w'], ['web-back']],
  [['port', 'ls', '--endpoint', 'w'], ['web-back']],
  [['network', 'delete', '--f'], ['--force']],
  [['endpoint', 'create', 'e', '--network', 'b'], ['back']],
  [['endpoint', 'create', 'e', '--mac', ''], []],
  [['--json', 'endpoint', 'rm', ''], ['web-back']],
  [['endpoint', 'attach', 'web-back', '--compartment', ''], ['web']],
  [
    ['capture', 'st'],
    ['start', 'stop'],
  ],
  [['capture', '--network', 'fr'], ['front']],
  [
    ['capture', 'start', '--format', 'pcap'],
    ['pcapng', 'pcap'],
  ],
  [['exec', ''], ['web']],
  [['exec', 'web', '--', 'mkfif'], ['mkfifo']],
  [['completion', 'z'], ['zsh']],
  [['--socket', '/nowhere', 'network', 'show', ''], []],
  [['network', 'ls', '--version'], []],
  [['__'], []],
];

describe('CLI: completion', function shells() {
  this.timeout(120_000);
  let lab: ApiLab;

  before(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    await lab.controller.createNetwork({ name: 'front', type: 'private' });
    await lab.listen();
    const program = join(lab.directory, 'weft');
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${WEFT}' "$@"\n`);
    chmodSync(program, 0o755);
  });

  after(() => lab.close());

  async function script(shell: 'bash' | 'zsh'): Promise<string> {
    const file = join(lab.directory, `completion.${shell}`);
    writeFileSync(file, (await runWeft(lab.socketPath, ['completion', shell])).stdout);
    return file;
  }

  it('bash offers verbs, options, choices and names', async () => {
    const calls = COMPLETIONS.map(([words]) => {
      const quoted = ['weft', ...words].map((word) => `'${word}'`).join(' ');
      return `COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; COMPREPLY=(); _weft; printf '%s\\n' "\${COMPREPLY[*]}"`;
    });
    // The daemon lives in this process: a synchronous child could not ask it.
    const { execFile } = await import('node:child_process');
    const output = await new Promise<string>((resolve, reject) => {
      const env = { ...process.env, PATH: `${lab.directory}:${process.env.PATH}`, WEFT_SOCKET: lab.socketPath };
      void script('bash').then((file) => {
        execFile(
          'bash',
          ['--norc', '-c', [`source '${file}'`, ...calls].join('\n')],
          { env },
          (error, stdout, stderr) =>
            error === null && stderr === '' ? resolve(stdout) : reject(new Error(`${error} ${stderr}`)),
        );
      });
    });
    const offered = output.split('\n').slice(0, -1);
    COMPLETIONS.forEach(([words, expected], i) => {
      const unique = [...new Set(offered[i]!.split(' ').filter((word) => word !== ''))];
      assert.deepEqual(unique, expected, `weft ${words.join(' ')}`);
    });
  });

  it('zsh can read its script', async function zsh() {
    if (spawnSync('zsh', ['--version']).error !== undefined) this.skip();
    execFileSync('zsh', ['-n', await script('zsh')]);
  });

  it('asking for names never fails and never complains', async () => {
    assert.deepEqual(await runWeft(lab.socketPath, ['__complete', 'network']), {
      status: 0,
      stdout: 'back\nfront\n',
      stderr: '',
    });
    assert.deepEqual(await runWeft('/nowhere.sock', ['__complete', 'endpoint']), { status: 0, stdout: '', stderr: '' });
  });
});
