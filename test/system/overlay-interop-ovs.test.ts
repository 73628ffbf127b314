/** weft and the userspace VXLAN of Open vSwitch, over both families and both underlays. */
import { describeInterop } from '../support/overlay-interop.js';
import { type OverlayPeer, startOvsPeer } from '../support/overlay-peers.js';
import { useLab } from '../support/system-lab.js';
import { createHosts, finishOnTheWire, type OverlayHost } from '../support/system-overlay.js';

describe('weft and the userspace VXLAN of Open vSwitch', function interop() {
  this.timeout(120_000);
  let hosts: [OverlayHost, OverlayHost];
  let peer: OverlayPeer;
  const lab = useLab(120_000, async (opened) => {
    for (const base of ['host', 'other']) await opened.addNamespace(base);
    hosts = (await createHosts(opened, ['host', 'other'])) as [OverlayHost, OverlayHost];
    opened.daemon.setHostNamespace(opened.path('host'));
  });

  before(async () => {
    const [host, other] = hosts;
    // It takes frames off the wire as they are: unfinished checksums are wrong ones for it.
    await finishOnTheWire(lab, host);
    peer = await startOvsPeer(lab, other);
  });

  for (const family of ['v4', 'v6'] as const) {
    for (const underlay of ['socket', 'tap'] as const) {
      describeInterop(lab, { underlay, family, isLearning: true }, () => {
        const [host, other] = hosts;
        return { host, other, peer };
      });
    }
  }
});
