/** weft and the VXLAN device of the Linux kernel, learning and told, over both families and both underlays. */
import { describeInterop } from '../support/overlay-interop.js';
import { kernelPeer } from '../support/overlay-peers.js';
import { useLab } from '../support/system-lab.js';
import { createHosts, type OverlayHost } from '../support/system-overlay.js';

describe('weft and the VXLAN device of the kernel', function interop() {
  this.timeout(120_000);
  let hosts: [OverlayHost, OverlayHost];
  const lab = useLab(120_000, async (opened) => {
    for (const base of ['host', 'other']) await opened.addNamespace(base);
    hosts = (await createHosts(opened, ['host', 'other'])) as [OverlayHost, OverlayHost];
    opened.daemon.setHostNamespace(opened.path('host'));
  });

  for (const isLearning of [true, false]) {
    describe(isLearning ? 'that learns' : 'with a static forwarding table (nolearning)', () => {
      for (const family of ['v4', 'v6'] as const) {
        for (const underlay of ['socket', 'tap'] as const) {
          describeInterop(lab, { underlay, family, isLearning }, () => {
            const [host, other] = hosts;
            return { host, other, peer: kernelPeer(lab, other, isLearning) };
          });
        }
      }
    });
  }
});
