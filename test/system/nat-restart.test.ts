// A restart or a kill -9 of the daemon loses no established connection through the NAT, and published ports stay.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { ask, createNat, type Nat, serveWeb } from '../support/system-nat.js';
import { startTransfer, TRANSFER_PORTS } from '../support/system-transfer.js';

const MEGABYTE = 1e6;
const WEB = 80;
const PUBLISHED_WEB = 8080;
const TRANSFERS = `${TRANSFER_PORTS}:${TRANSFER_PORTS.split('-')[0]}/tcp`;

describe('a restart of the daemon, with connections through its NAT,', function restart() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let nat: Nat;

  before(async () => {
    nat = await createNat(lab, { endpoint: { publish: [`${PUBLISHED_WEB}:${WEB}/tcp`, TRANSFERS] } });
    await serveWeb(lab, nat.inside.base, WEB);
  });

  for (const [sentence, end] of [
    ['kill -9', () => daemon.kill()],
    ['SIGTERM', () => daemon.terminate()],
  ] as const) {
    for (const family of ['v4', 'v6'] as const) {
      it(`by ${sentence} loses no byte of what goes out and in over IP${family}`, async () => {
        const { inside, world } = nat;
        const listed = await daemon.call('GET', '/v1/networks');
        const bytes = 150 * MEGABYTE;
        const out = await startTransfer(lab, {
          ...{ from: inside.base, to: world.outside, address: world.far[family], bytes },
        });
        const into = await startTransfer(lab, {
          ...{ from: world.outside, to: inside.base, address: world.near[family], bytes },
        });
        for (const transfer of [out, into]) await transfer.progress(10 * MEGABYTE);
        await end();
        await daemon.start();
        for (const transfer of [out, into]) await transfer.progress(10 * MEGABYTE);
        for (const transfer of [out, into]) await transfer.finish();
        assert.deepEqual(await daemon.call('GET', '/v1/networks'), listed);
        assert.equal((await ask(lab, world.outside, world.near[family], PUBLISHED_WEB)).to, inside[family]);
      });
    }
  }
});
