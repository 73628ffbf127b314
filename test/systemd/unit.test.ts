// systemd/weftd.service against systemd itself and against the code: it is valid, its sandbox is as tight as promised, and
// it allows the system calls that the C sources list and those that Node.js was seen to make.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../support/source-tree.js';

const UNIT = join(PACKAGE_ROOT, 'systemd', 'weftd.service');
const SOURCES = join(PACKAGE_ROOT, 'src', 'native');

/** Tenths, as systemd-analyze wants them; systemd/README.md promises it. */
const MOST_EXPOSURE = 31;

/**
 * System calls of Node.js 20 and of tcpdump and nft as its children in a daemon that made a lab, captured, filtered and wrote its state
 * (strace -f), beside those of the addon.
 */
const NODE = `
  accept4 access arch_prctl bind brk capget chdir chmod clone clone3 close dup2 epoll_create1 epoll_ctl epoll_pwait
  epoll_pwait2 eventfd2 execve exit exit_group fchmod fcntl fdatasync flock fstat fsync futex getcwd getdents64 getegid
  geteuid getgid getpeername getpid getrandom getsockname getsockopt gettid getuid inotify_add_watch inotify_init1 inotify_rm_watch ioctl link
  listen lseek madvise mkdir mmap mprotect munmap newfstatat openat pipe2 pkey_alloc prctl pread64 prlimit64 pselect6 pwrite64 read
  readlink recvmmsg recvmsg rename rmdir rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sendmmsg sendmsg sendto set_robust_list
  set_tid_address setns setsockopt shutdown socket socketpair statfs statx sysinfo umask uname unlink unshare wait4 write writev
`;

function unitText(): string {
  return readFileSync(UNIT, 'utf8');
}

/** All words behind `KEY=` in the unit. */
function valuesOf(key: string): string[] {
  return [...unitText().matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].flatMap(([, value = '']) => value.split(/\s+/));
}

function analyze(...parameters: string[]) {
  const result = spawnSync('systemd-analyze', parameters, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  assert.equal(result.error, undefined, 'systemd-analyze is there (package systemd)');
  return result;
}

/** The system calls of a list of names and @groups; systemd always allows @default. */
function expand(filter: readonly string[]): Set<string> {
  const calls = new Set(filter.filter((word) => !word.startsWith('@')));
  const groups = ['@default', ...filter.filter((word) => word.startsWith('@'))];
  for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
    const { status, stdout } = analyze('syscall-filter', group);
    assert.equal(status, 0, `systemd knows ${group}`);
    for (const line of stdout.split('\n').slice(1)) {
      const word = line.trim();
      if (word.startsWith('@')) groups.push(word);
      else if (word !== '' && !word.startsWith('#')) calls.add(word);
    }
  }
  return calls;
}

describe('systemd/weftd.service', function () {
  this.timeout(120_000);
  const allowed = () => expand(valuesOf('SystemCallFilter'));
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('is a unit without mistakes', () => {
    // A copy, because the program is not installed here; in a root of its own, so that other units do not matter.
    const units = join(directory, 'usr', 'lib', 'systemd', 'system');
    mkdirSync(units, { recursive: true });
    const copy = join(units, 'weftd.service');
    writeFileSync(copy, unitText().replace(/^ExecStart=.*$/m, 'ExecStart=/bin/true'));
    const { status, stderr } = analyze('verify', '--man=no', '--recursive-errors=no', copy);
    const complaints = stderr.split('\n').filter((line) => line.includes('weftd.service'));
    assert.deepEqual({ status, complaints }, { status: 0, complaints: [] });
  });

  // An older systemd-analyze (before 250) judges running services only.
  const canJudge =
    Number(
      /systemd (\d+)/.exec(spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1] ?? 250,
    ) >= 250;
  it(`is exposed ${MOST_EXPOSURE / 10} at most, as systemd counts${canJudge ? '' : ' (nobody here can)'}`, () => {
    if (!canJudge) return;
    const { status, stdout } = analyze(
      'security',
      '--offline=true',
      '--no-pager',
      `--threshold=${MOST_EXPOSURE}`,
      UNIT,
    );
    assert.equal(
      status,
      0,
      stdout
        .split('\n')
        .filter((line) => !line.startsWith('✓'))
        .join('\n'),
    );
    assert.match(stdout, /Overall exposure level for weftd\.service: \d/);
  });

  it('allows every system call that the C sources list', () => {
    const calls = allowed();
    const listed = readdirSync(SOURCES).filter((name) => name.endsWith('.c'));
    const missing = listed.flatMap((file) =>
      [...readFileSync(join(SOURCES, file), 'utf8').matchAll(/^\/\/ #syscalls: (.*)$/gm)]
        .flatMap(([, names = '']) => names.split(' '))
        .filter((name) => !calls.has(name))
        .map((name) => `${file}: ${name}`),
    );
    assert.deepEqual(missing, []);
  });

  it('allows every system call that Node.js makes', () => {
    const calls = allowed();
    assert.deepEqual(
      NODE.trim()
        .split(/\s+/)
        .filter((name) => !calls.has(name)),
      [],
    );
  });

  it('allows nothing that loads modules, sets clocks, reboots, traces or swaps', () => {
    const calls = allowed();
    const dangerous = expand(['@clock', '@debug', '@module', '@raw-io', '@reboot', '@swap']);
    const harmless = expand([]);
    assert.deepEqual(
      [...dangerous].filter((name) => calls.has(name) && !harmless.has(name)),
      [],
    );
  });

  it('filters no addresses: that would stop IPv6 neighbour discovery in the namespaces that weftd makes', () => {
    assert.deepEqual([...valuesOf('IPAddressDeny'), ...valuesOf('IPAddressAllow')], []);
  });

  it('may make network namespaces, enter mount namespaces, and nothing else of the kind', () => {
    assert.deepEqual(valuesOf('RestrictNamespaces'), ['net', 'mnt']);
    assert.deepEqual(valuesOf('AmbientCapabilities'), valuesOf('CapabilityBoundingSet'));
    assert.deepEqual(valuesOf('CapabilityBoundingSet').sort(), [
      'CAP_DAC_OVERRIDE',
      'CAP_NET_ADMIN',
      'CAP_NET_RAW',
      'CAP_SYS_ADMIN',
      'CAP_SYS_CHROOT',
      'CAP_SYS_PTRACE',
    ]);
  });
});
