// `weft apply`, `--dry-run` and `weft export`: reality is made to match the file, and a second time there is nothing to do.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { useLab } from '../support/system-lab.js';
import { createPair } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

describe('weft apply', function labFile() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  const [front, back] = [lab.subnet(), lab.subnet()];
  const file = join(lab.directory, 'lab.yaml');
  const name = (base: string) => lab.name(base);

  const LAB = `
weft: 1
networks:
  ${name('front')}: { type: internal, subnets: [${front.v4}.0/24] }
  ${name('back')}:  { type: private, subnets: [${back.v4}.0/24, "${back.v6}::/64"] }
compartments:
  ${name('web')}: {}
  ${name('db')}:  {}
endpoints:
  ${name('web-front')}: { network: ${name('front')}, compartment: ${name('web')}, ip: ${front.v4}.10 }
  ${name('web-back')}:  { network: ${name('back')}, compartment: ${name('web')}, ifname: eth1 }
  ${name('db-back')}:   { network: ${name('back')}, compartment: ${name('db')} }
captures:
  ${name('wire')}: { network: ${name('back')}, file: ${join(lab.directory, 'back.pcapng')} }
`;

  async function apply(
    text: string,
    ...flags: string[]
  ): Promise<{ changed: boolean; steps: { action: string; name: string }[] }> {
    writeFileSync(file, text);
    return await daemon.json('apply', '-f', file, ...flags);
  }

  async function names(noun: string): Promise<string[]> {
    return (await daemon.json(noun, 'list')).map((item: { name: string }) => item.name);
  }

  async function everything(): Promise<object> {
    const lists = ['network', 'compartment', 'endpoint'].map((noun) => daemon.json(noun, 'list'));
    return { lists: await Promise.all(lists), web: await lab.links('web').catch(() => 'none') };
  }

  it('--dry-run prints the plan and does nothing', async () => {
    const before = await everything();
    const plan = await apply(LAB, '--dry-run');
    assert.deepEqual(await everything(), before);
    assert.deepEqual(plan.steps.map((step) => `${step.action} ${step.name}`).sort(), [
      ...['back', 'db', 'db-back', 'front', 'web', 'web-back', 'web-front', 'wire'].map(
        (base) => `create ${name(base)}`,
      ),
    ]);
    const text = await daemon.ok('apply', '-f', file, '--dry-run');
    for (const base of ['front', 'web', 'db-back']) assert.ok(text.includes(name(base)), text);
    assert.deepEqual(await everything(), before);
  });

  it('makes what the file names, and it works', async () => {
    assert.equal((await apply(LAB)).changed, true);
    assert.deepEqual(await names('network'), [name('back'), name('front')]);
    assert.deepEqual(await names('compartment'), [name('db'), name('web')]);
    const [v4, v6] = (await daemon.json('endpoint', 'show', name('db-back'))).ip;
    assert.ok(await lab.pings('web', v4));
    assert.ok(await lab.pings('web', v6));
    assert.ok(await lab.pings('web', `${front.v4}.1`));
    await waitFor('the capture file', () => existsSync(join(lab.directory, 'back.pcapng')));
  });

  it('changes nothing the second time, and says so', async () => {
    const before = await everything();
    const again = await apply(LAB);
    assert.deepEqual([again.changed, again.steps], [false, []]);
    assert.match(await daemon.ok('apply', '-f', file), /nothing|no change|up to date/i);
    assert.deepEqual(await everything(), before);
  });

  it('of what was exported changes nothing either', async () => {
    const exported = await daemon.ok('export');
    assert.equal(parse(exported).weft, 1);
    assert.deepEqual((await apply(exported)).steps, []);
    assert.deepEqual(Object.keys((await daemon.json('export')).endpoints).sort(), await names('endpoint'));
  });

  it('survives a restart: there is still nothing to do', async () => {
    await daemon.kill();
    await daemon.start();
    assert.deepEqual((await apply(LAB)).steps, []);
  });

  it('removes what it once made and the file no longer names, and leaves what was made by hand', async () => {
    const byHand = await createPair(lab);
    const smaller = LAB.split('\n')
      .filter((line) => !/web-front|db|wire|captures/.test(line))
      .join('\n');
    const result = await apply(smaller);
    assert.equal(result.changed, true);
    assert.deepEqual(
      await names('compartment'),
      [name('web'), byHand.left.compartment, byHand.right.compartment].sort(),
    );
    assert.deepEqual(await names('endpoint'), [name('web-back'), byHand.left.endpoint, byHand.right.endpoint].sort());
    assert.ok(await lab.pings(byHand.left.base, byHand.right.v4));
    assert.equal(existsSync(lab.path('db')), false, 'its namespace is gone too');
    assert.deepEqual(
      (await lab.links('web')).map((link) => link.name),
      ['eth1'],
    );
    assert.deepEqual((await apply(smaller)).steps, []);
  });

  it('changes what the file changes, and only that', async () => {
    const before = await daemon.json('endpoint', 'show', name('web-back'));
    const changed = `
weft: 1
networks:
  ${name('front')}: { type: internal, subnets: [${front.v4}.0/24] }
  ${name('back')}:  { type: private, subnets: [${back.v4}.0/24, "${back.v6}::/64"] }
compartments: { ${name('web')}: {} }
endpoints:
  ${name('web-back')}: { network: ${name('back')}, compartment: ${name('web')}, ifname: eth1, ip: ${back.v4}.77 }
`;
    await apply(changed);
    const after = await daemon.json('endpoint', 'show', name('web-back'));
    assert.ok(after.ip.includes(`${back.v4}.77`), String(after.ip));
    assert.equal(after.mac, before.mac);
    const [link] = await lab.links('web');
    assert.ok(link?.addresses.includes(`${back.v4}.77/24`), String(link?.addresses));
    assert.deepEqual((await apply(changed)).steps, []);
  });

  it('refuses a bad file as a whole, with the path and the reason of every fault, and changes nothing', async () => {
    const before = await everything();
    const [late, orphan] = [name('late'), name('orphan')];
    const good = `networks: { ${late}: { type: private } }`;
    for (const [text, ...words] of [
      [
        `{ ${good}, endpoints: { ${orphan}: { network: ${late}, colour: red, offload: 7 } } }`,
        `${orphan}.colour`,
        `${orphan}.offload`,
      ],
      [`{ networks: { ${late}: { type: private, subnets: [10.0.0.0/33, nonsense] } } }`, '10.0.0.0/33', 'nonsense'],
      [`{ ${good}, endpoints: { ${orphan}: { network: ${name('nowhere')} } } }`, name('nowhere')],
      [`{ ${good}, endpoints: { ${orphan}: { network: ${late}, compartment: ${name('nowhere')} } } }`, name('nowhere')],
      ['{ weft: 2 }', 'weft'],
      ['{ [', 'lab.yaml'],
    ] as const) {
      writeFileSync(file, text.replace('{ ', text.includes('weft:') ? '{ ' : '{ weft: 1, '));
      for (const flags of [[], ['--dry-run']]) {
        const refused = await daemon.weft(['apply', '-f', file, ...flags]);
        assert.equal(refused.status, 1, `${text}: ${refused.stdout}`);
        assert.match(refused.stderr, /^error: [^\n]+\n$/);
        for (const word of words) assert.ok(refused.stderr.includes(word), `${word} in: ${refused.stderr}`);
        assert.equal(refused.stdout, '');
      }
    }
    assert.equal((await daemon.weft(['apply', '-f', `${file}-missing`])).status, 1);
    assert.deepEqual(await everything(), before);
  });
});
