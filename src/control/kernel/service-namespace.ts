/**
 * The namespace in which the services of gateways have their sockets, so that neither the machine's own programs nor its
 * routes and packet filters have anything to do with them.
 *
 * It has no name: nobody enters it by accident, and whatever ends the daemon, the kernel takes it back with the TAPs in it.
 */
import { writeFileSync } from 'node:fs';
import { native } from '../../native/index.js';
import type { Namespace } from './kernel.js';
import { check, fileError, kernelError } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';

/**
 * A new namespace takes settings of IPv4 from the machine (ip-sysctl.rst). Networks never meet here: nothing is forwarded. The
 * check of the way back would have packets of two networks with the same addresses dropped; sockets bound to a device are what
 * keeps them apart. Port 53 needs no privilege that the daemon would have everywhere.
 */
const SETTINGS: Record<string, string> = {
  'ipv4/ip_forward': '0',
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  'ipv4/ip_unprivileged_port_start': '0',
};

export function makeServiceNamespace(): Namespace {
  const fd = check('unshare', 'the service namespace', native.makeNamespace());
  try {
    insideNamespace(fd, applySettings);
    const identity = new Float64Array(2);
    const result = native.namespaceIdentity(fd, identity);
    if (result < 0) throw kernelError('fstat', 'the service namespace', result);
    return { fd, path: 'the service namespace', device: identity[0] ?? 0, inode: identity[1] ?? 0 };
  } catch (error) {
    native.closeFd(fd);
    throw error;
  }
}

function applySettings(): void {
  for (const [key, value] of Object.entries(SETTINGS)) {
    const path = `/proc/sys/net/${key}`;
    try {
      writeFileSync(path, value);
    } catch (error) {
      throw fileError('write', path, error);
    }
  }
}
