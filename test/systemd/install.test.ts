// scripts/install and scripts/uninstall into a directory of their own, as a package would: what is put where, that it works
// from there, that a second time changes nothing, and that everything goes away again. What they do to a running system is
// tried by scripts/try-service.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../support/source-tree.js';

describe('scripts/install and scripts/uninstall', function () {
  this.timeout(180_000);
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function script(name: 'install' | 'uninstall', ...parameters: string[]) {
    const command = join(PACKAGE_ROOT, 'scripts', name);
    return spawnSync('sh', [command, ...parameters], { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } });
  }

  /** Files and links outside lib/weft, with their modes. */
  function files(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name).slice(directory.length);
      if (entry.isDirectory() || path.includes('/lib/weft/')) continue;
      found[path] = (statSync(join(directory, path)).mode & 0o777).toString(8);
    }
    return found;
  }

  function install(...parameters: string[]) {
    const { status, stdout, stderr } = script('install', '--no-build', '--destdir', directory, ...parameters);
    assert.equal(status, 0, stdout + stderr);
  }

  const USUAL = {
    '/etc/weft/weft.yaml': '644',
    '/usr/local/bin/weft': '755',
    '/usr/local/bin/weftd': '755',
    '/usr/local/lib/systemd/system/weftd.service': '644',
    '/usr/local/lib/sysusers.d/weft.conf': '644',
    '/usr/local/lib/tmpfiles.d/weft.conf': '644',
    '/usr/local/share/bash-completion/completions/weft': '644',
    '/usr/local/share/zsh/site-functions/_weft': '644',
  };

  it('puts every file in its place, and only there', () => {
    install();
    assert.deepEqual(files(), USUAL);
  });

  it('installs what runs by itself, with no packages for development', () => {
    const app = join(directory, 'usr/local/lib/weft/app');
    for (const [program, line] of Object.entries({ weft: /^weft \d/, weftd: /^weftd \d/ })) {
      const run = spawnSync(process.execPath, [join(app, `dist/daemon/${program}.js`), '--version'], {
        encoding: 'utf8',
      });
      assert.match(run.stdout, line, run.stderr);
    }
    assert.deepEqual(readdirSync(app).sort(), [
      'LICENSE',
      'README.md',
      'build',
      'dist',
      'node_modules',
      'package.json',
    ]);
    assert.deepEqual(readdirSync(join(app, 'dist')).sort(), ['daemon']);
    const packages = readdirSync(join(app, 'node_modules'));
    assert.deepEqual(
      ['fastify', 'mocha', 'typescript', '@biomejs'].map((name) => packages.includes(name)),
      [true, false, false, false],
    );
  });

  it('changes nothing the second time, and never the configuration', () => {
    const config = join(directory, 'etc/weft/weft.yaml');
    writeFileSync(config, 'logLevel: warn\n');
    install();
    assert.deepEqual(files(), USUAL);
    assert.equal(readFileSync(config, 'utf8'), 'logLevel: warn\n');
    assert.deepEqual(readdirSync(join(directory, 'usr/local/lib/weft')), ['app']);
  });

  it('takes back everything but the configuration', () => {
    const { status, stderr } = script('uninstall', '--destdir', directory);
    assert.equal(status, 0, stderr);
    assert.deepEqual(files(), { '/etc/weft/weft.yaml': '644' });
    assert.ok(!existsSync(join(directory, 'usr/local/lib/weft')));
  });

  it('goes to another prefix, where the unit starts it from', () => {
    rmSync(directory, { recursive: true, force: true });
    install('--prefix', '/opt/weft');
    const unit = readFileSync(join(directory, 'etc/systemd/system/weftd.service'), 'utf8');
    assert.match(unit, /^ExecStart=\/opt\/weft\/bin\/weftd$/m);
    assert.ok(!unit.includes('/usr/local'));
    assert.match(readFileSync(join(directory, 'opt/weft/bin/weftd'), 'utf8'), / \/opt\/weft\/lib\/weft\/app\/dist\//);
    assert.equal(script('uninstall', '--destdir', directory, '--prefix=/opt/weft').status, 0);
    assert.deepEqual(Object.keys(files()), ['/etc/weft/weft.yaml']);
  });

  it('explain themselves, and refuse what they do not know', () => {
    for (const name of ['install', 'uninstall'] as const) {
      assert.match(script(name, '--help').stdout, /^usage: sudo scripts\/(un)?install/);
      assert.equal(script(name, '--frobnicate').status, 2);
      assert.match(script(name, '--prefix', 'relative').stderr, /error: --prefix relative is no absolute path/);
      assert.match(script(name, '--prefix').stderr, /error: --prefix needs a directory/);
    }
  });
});
