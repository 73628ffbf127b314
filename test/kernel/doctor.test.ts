/** `weft doctor` tells the truth about the machine, as root and as nobody, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runDoctor } from '../../src/control/doctor/doctor.js';
import type { Finding } from '../../src/control/doctor/doctor-finding.js';
import { checkResolvers, findLeftovers, findOrphans } from '../../src/control/doctor/doctor-leftovers.js';
import {
  checkDescriptors,
  checkKernelVersion,
  checkMemory,
  checkWsl,
} from '../../src/control/doctor/doctor-machine.js';
import { checkVxlanPort } from '../../src/control/doctor/doctor-overlay.js';
import { checkForwardPolicy } from '../../src/control/doctor/doctor-uplinks.js';
import { tableOf } from '../../src/control/kernel/namespace-routing.js';
import { asNobody } from '../support/as-nobody.js';
import { links, needsRoot, run, Scratch, tapRequest } from './scratch.js';

const PROGRAM = fileURLToPath(new URL('./doctor-program.js', import.meta.url));
const SEARCH_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

function byName(findings: Finding[]): Map<string, Finding> {
  return new Map(findings.map((finding) => [finding.check, finding]));
}

describe('doctor: this machine', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  const doctor = () => runDoctor({ runDir: scratch.runDir, searchPath: SEARCH_PATH });

  it('is fit for weft, and every finding that is not ok says what it costs and what to do', async () => {
    const findings = await doctor();
    assert.deepEqual(
      findings.filter(({ status }) => status === 'fail'),
      [],
    );
    assert.equal(byName(findings).size, findings.length, 'names are unique');
    const checks = ['kernel', 'node', 'rights', 'tun', 'namespaces', 'tap', 'multi-queue', 'packet-socket', 'nftables'];
    for (const check of [...checks, 'tunnel-socket']) {
      assert.equal(byName(findings).get(check)?.status, 'ok', check);
    }
    for (const finding of findings.filter(({ status }) => status !== 'ok')) {
      assert.ok(finding.cost !== '' && finding.remedy !== '', JSON.stringify(finding));
    }
  });

  it('warns of a firewall that drops what is forwarded, and names the chain', async () => {
    const place = await scratch.foreignPlace();
    const { fd } = place.namespace;
    assert.equal((await checkForwardPolicy(fd)).status, 'ok');
    const chain = 'chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }';
    run('ip', 'netns', 'exec', place.name, 'nft', `add table ip filter; add ${chain}`);
    const { status, finding, remedy } = await checkForwardPolicy(fd);
    assert.deepEqual([status, finding], ['warn', 'policy drop in ip filter FORWARD']);
    assert.match(remedy, /accept it there/);
  });

  it('warns of an interface that does VXLAN on the usual port, and names it', async () => {
    const place = await scratch.foreignPlace();
    const { fd } = place.namespace;
    assert.equal((await checkVxlanPort(fd)).status, 'ok');
    const vxlan = ['link', 'add', 'vx0', 'type', 'vxlan', 'id', '5', 'dstport'];
    run('ip', '-n', place.name, ...vxlan, '4790', 'local', '127.0.0.1');
    assert.equal((await checkVxlanPort(fd)).status, 'ok');
    run('ip', '-n', place.name, 'link', 'delete', 'vx0');
    run('ip', '-n', place.name, ...vxlan, '4789', 'local', '127.0.0.1');
    const { status, finding, remedy } = await checkVxlanPort(fd);
    assert.deepEqual([status, finding], ['warn', 'UDP port 4789 belongs to vx0']);
    assert.match(remedy, /--port/);
  });

  it('reports each offload that a TAP is granted here', async () => {
    const findings = byName(await doctor());
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    const bits = { 'offload-checksum': 1, 'offload-tso4': 2, 'offload-tso6': 4, 'offload-ecn': 8, 'offload-uso': 0x20 };
    for (const [check, bit] of Object.entries(bits)) {
      assert.equal(findings.get(check)?.status, (tap.accepts & bit) !== 0 ? 'ok' : 'warn', check);
    }
    const ofTunnel = await scratch.tap(
      place,
      tapRequest({ ifname: 'eth1', addresses: [], routes: [], tunnelOffload: true }),
    );
    assert.equal(findings.get('tunnel-tap')?.status, (ofTunnel.accepts & 0x80) !== 0 ? 'ok' : 'warn');
  });

  it('is left as it was', async () => {
    await doctor();
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.includes(`doctor-${process.pid}`)),
      [],
    );
    assert.deepEqual(readdirSync(scratch.runDir), []);
  });

  it('as nobody: says what this user cannot do, and what could not be checked', () => {
    const [file, ...parameters] = asNobody([process.execPath, PROGRAM, scratch.runDir]);
    const findings = byName(JSON.parse(execFileSync(file, parameters, { encoding: 'utf8', cwd: '/' })));
    assert.equal(findings.get('rights')?.status, 'fail');
    assert.match(findings.get('rights')?.finding ?? '', /CAP_NET_ADMIN.*CAP_SYS_ADMIN missing/);
    for (const check of ['kernel-features', 'markers', 'orphans', 'orphaned-rules']) {
      assert.equal(findings.get(check)?.status, 'warn');
      assert.match(findings.get(check)?.finding ?? '', /not checked/);
    }
    assert.equal(findings.get('tap'), undefined);
  });

  it('names interfaces whose daemon does not run, with a command that removes them, and no others', async () => {
    const [left, running] = [await scratch.place(), await scratch.place()];
    scratch.kernel.releaseTap(await scratch.kernel.createTap(left.namespace, tapRequest()));
    await scratch.tap(running, tapRequest());
    const mine = (await findOrphans()).filter(({ path }) => path.includes(`wk${process.pid}n`));
    assert.deepEqual(mine, [{ instance: 'test', ifname: 'eth0', path: left.namespace.path }]);
    const finding = byName(await doctor()).get('orphans');
    assert.equal(finding?.status, 'warn');
    const [, namespace, ifname] = /remove them: nsenter --net=(\S+) ip link del (\S+)$/.exec(finding.remedy) ?? [];
    assert.ok(namespace && ifname);
    run('nsenter', `--net=${left.namespace.path}`, 'ip', 'link', 'del', 'eth0');
    assert.deepEqual(links(left.name), []);
  });

  it('names rules of uplinks whose daemon does not run, with a command that removes them, and no others', async () => {
    const [left, running] = [await scratch.foreignPlace(), await scratch.foreignPlace()];
    const request = (instance: string) => ({ ...tapRequest({ ifname: 'weft-lab' }), alias: `weft:${instance}:lab` });
    const leaving = 'chain leaving { type nat hook postrouting priority 100; }';
    for (const [place, instance] of [
      [left, 'doctor-gone'],
      [running, 'doctor-runs'],
    ] as const) {
      const tap = await scratch.kernel.createTap(place.namespace, request(instance));
      if (instance === 'doctor-gone') scratch.kernel.releaseTap(tap);
      else scratch.own(tap);
      run('ip', 'netns', 'exec', place.name, 'nft', `table inet ${tableOf(instance)} {\n${leaving}\n}\n`);
    }
    const mine = (await findLeftovers()).tables.filter(({ table }) => table.startsWith('weft_doctor_'));
    assert.deepEqual(mine, [{ table: 'weft_doctor_gone', path: left.namespace.path }]);
    const finding = byName(await doctor()).get('orphaned-rules');
    assert.equal(finding?.status, 'warn');
    assert.match(finding.remedy, /remove them: nsenter --net=\S+ nft delete table inet weft_/);
  });

  it('names resolv.conf files that weft wrote for namespaces that are gone, and no others', () => {
    const directory = join(scratch.runDir, 'netns');
    const files = { 'long-gone': '# Written by weft doctor-gone, which', mine: 'nameserver 192.0.2.1\n' };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(directory, name), { recursive: true });
      writeFileSync(join(directory, name, 'resolv.conf'), text);
    }
    const { status, finding, remedy } = checkResolvers(directory);
    assert.equal(status, 'warn');
    assert.equal(finding, '1 resolv.conf files of namespaces that are gone: long-gone');
    assert.match(remedy, new RegExp(`rm -r ${join(directory, 'long-gone')}$`));
    assert.equal(checkResolvers(join(directory, 'nowhere')).status, 'ok');
  });

  it('names markers of namespaces that are gone, and removes none', async () => {
    const directory = join(scratch.runDir, 'owned');
    mkdirSync(directory);
    writeFileSync(join(directory, 'long-gone'), '{}');
    const finding = byName(await doctor()).get('markers');
    assert.equal(finding?.status, 'warn');
    assert.match(finding.finding, /1 namespaces.*long-gone/);
    assert.deepEqual(readdirSync(directory), ['long-gone']);
  });

  it('lacks a program that is not in the search path', async () => {
    const findings = byName(await runDoctor({ runDir: scratch.runDir, searchPath: scratch.runDir }));
    assert.equal(findings.get('tcpdump')?.status, 'warn');
    assert.match(findings.get('tcpdump')?.remedy ?? '', /install tcpdump/);
  });
});

describe('doctor: other machines', () => {
  it('judges kernels by what they lack', () => {
    const judged = [
      '4.14.0',
      '5.10.0-28-amd64',
      '5.15.167.4-microsoft-standard-WSL2',
      '6.1.0-25-amd64',
      '6.6.1',
      '7.0',
    ].map((release) => checkKernelVersion(release));
    assert.deepEqual(
      judged.map(({ status }) => status),
      ['fail', 'warn', 'warn', 'warn', 'ok', 'ok'],
    );
    assert.match(judged[1]?.cost ?? '', /epoll_pwait2.*mark.*UDP segmentation/);
    assert.doesNotMatch(judged[3]?.cost ?? '', /epoll_pwait2/);
  });

  it('knows WSL', () => {
    assert.deepEqual(checkWsl('6.1.0-25-amd64'), []);
    assert.equal(checkWsl('5.15.167.4-microsoft-standard-WSL2')[0]?.status, 'warn');
    assert.equal(checkWsl('4.4.0-19041-Microsoft')[0]?.status, 'fail');
  });

  it('counts the endpoints that the limit of open files admits', () => {
    const limits = (hard: string) =>
      `Limit  Soft Limit  Hard Limit  Units\nMax open files        1024             ${hard}           files\n`;
    assert.equal(checkDescriptors(limits('1048576'), 1000).status, 'ok');
    assert.equal(checkDescriptors(limits('unlimited'), 1000).status, 'ok');
    const tight = checkDescriptors(limits('1024'), 1000);
    assert.deepEqual([tight.status, tight.cost], ['warn', 'room for about 384 endpoints']);
    assert.equal(checkDescriptors(limits('1024'), 300).status, 'ok');
  });

  it('looks at the memory that is available, not free', () => {
    assert.equal(checkMemory('MemFree: 1000 kB\nMemAvailable:    1048576 kB\n').status, 'ok');
    assert.equal(checkMemory('MemFree: 1048576 kB\nMemAvailable:    100000 kB\n').status, 'warn');
  });
});
