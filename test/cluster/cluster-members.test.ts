/** An etcd of several members, and one that wants certificates. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bindings, ClusterLab, eventsOf, networkNames, until } from '../support/cluster-lab.js';
import { EtcdServer } from '../support/etcd-server.js';

const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/24'], overlay: { vni: 5000 } };

describe('an etcd of three members', function members() {
  this.timeout(120_000);
  let members: EtcdServer[];
  let lab: ClusterLab;

  beforeEach(async () => {
    members = await EtcdServer.startMany(3);
    lab = new ClusterLab(members, 5);
  });

  afterEach(async () => {
    await lab.close();
    for (const member of members) await member.remove();
  });

  it('may lose any of them, its leader too: hosts go on with another one, and nothing flaps', async () => {
    const [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
    await a.lab.controller.createCompartment({ name: 'web' });
    const create = (name: string) => a.lab.controller.createEndpoint({ name, network: 'ov', compartment: 'web' });
    await create('first');
    await until('b knows it', () => bindings(b).length === 1);
    const leads = await Promise.all(members.map((member) => member.isLeader()));
    await members[leads.indexOf(true)]!.stop();
    for (let n = 0; ; n++) {
      const made = await create('second').catch((error: Error) => error);
      if (!(made instanceof Error)) break;
      assert.ok(n < 500, `still refused: ${made.message}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await until('b knows the second one', () => bindings(b).length === 2);
    for (const host of [a, b]) assert.deepEqual(eventsOf(host, 'cluster-host-gone'), []);
    assert.equal(b.lab.datapath.bindings.filter(([operation]) => operation === 0).length, 0, 'b forgot nothing');
  });

  it('gives nothing away when most of them are gone', async () => {
    const a = await lab.join('a', 1);
    await a.lab.controller.createNetwork(OVERLAY);
    await Promise.all(members.slice(1).map((member) => member.stop()));
    await until('a notices', () => a.lab.controller.clusterView().state === 'alone');
    await assert.rejects(
      a.lab.controller.createEndpoint({ name: 'web', network: 'ov' }),
      /the cluster cannot be asked/,
    );
    await Promise.all(members.slice(1).map((member) => member.start()));
    await until('a is back', () => a.lab.controller.clusterView().state === 'joined');
    await a.lab.controller.createEndpoint({ name: 'web', network: 'ov' });
  });
});

describe('an etcd that wants certificates', function secure() {
  this.timeout(120_000);
  let directory: string;
  let etcd: EtcdServer;
  let lab: ClusterLab;
  const file = (name: string) => join(directory, name);

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), `weft-pki-${process.pid}-`));
    makeCertificates();
    etcd = await EtcdServer.start(
      ...['--cert-file', file('server.pem'), '--key-file', file('server.key')],
      ...['--client-cert-auth', '--trusted-ca-file', file('ca.pem')],
    );
    lab = new ClusterLab(etcd);
  });

  afterEach(async () => {
    await lab.close();
    await etcd.remove();
    rmSync(directory, { recursive: true });
  });

  const openssl = (...parameters: string[]) => execFileSync('openssl', parameters, { stdio: 'pipe' });

  function makeCertificates(): void {
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.pem'),
      '-days',
      '2',
      '-subj',
      '/CN=test CA',
    );
    for (const name of ['server', 'client']) {
      openssl('req', ...newKey, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`);
      writeFileSync(file('extensions'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
      const ca = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial'];
      const extensions = ['-days', '2', '-extfile', file('extensions')];
      openssl('x509', '-req', '-in', file(`${name}.csr`), ...ca, '-out', file(`${name}.pem`), ...extensions);
    }
  }

  it('gets them', async () => {
    const files = { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') };
    const [a, b] = [await lab.join('a', 1, files), await lab.join('b', 2, files)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
  });

  it('is not joined without them, and `cluster status` says why', async () => {
    const a = await lab.addHost('a', 1, { ca: file('ca.pem') });
    await until('it is refused', () => a.lab.controller.clusterView().state === 'alone');
    assert.match(a.lab.controller.clusterView().reason, /^https:\/\/127\.0\.0\.1:\d+: ./);
    const b = await lab.addHost('b', 2, { ca: file('missing.pem') });
    await until('it has no file', () => b.lab.controller.clusterView().state === 'alone');
    assert.match(b.lab.controller.clusterView().reason, /no such file.*missing\.pem/);
  });
});
