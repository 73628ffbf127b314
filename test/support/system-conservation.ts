/** The two laws of the datapath (datapath/counters.ts) on a real daemon, by what its API says. */
import assert from 'node:assert/strict';
import type { Daemon } from './system-daemon.js';
import { waitFor } from './system-process.js';

/** Waits until nothing moves any more (a few stray frames of IPv6 may), then compares. */
export async function expectConservation(daemon: Daemon): Promise<void> {
  let last = '';
  await waitFor('the counters to stand still', async () => {
    const { arrivals, sent } = (await daemon.call('GET', '/v1/stats')).datapath;
    const now = `${arrivals} ${sent}`;
    const stands = now === last;
    last = now;
    return stands;
  });
  const { datapath } = await daemon.call('GET', '/v1/stats');
  const { arrivals, originated, forwarded, consumed, dropped, departures, sent, transmitDropped } = datapath;
  assert.equal(arrivals + originated, forwarded + consumed + dropped, 'every frame has one fate');
  assert.equal(departures, sent + transmitDropped, 'every copy was sent or dropped');
}
