/**
 * The package `netlink`, as far as weft uses it. Its entry would also load what it knows of Wi-Fi and WireGuard, more than half
 * of the package; so its modules are taken one by one, and the large ones when the first request is made. They are CommonJS
 * and loaded with `require`, because `import` would first scan them for the names that they export.
 */
import { createRequire } from 'node:module';
import { onDemand } from '../../lib/on-demand.js';

type Netlink = typeof import('netlink');
type Constants = Pick<Netlink, 'Flags' | 'FlagsGet' | 'FlagsNew' | 'MessageType' | 'Protocol'>;
type Structs = Pick<Netlink, 'AttrStream' | 'parseAttributes' | 'parseError'>;
type Sockets = Pick<Netlink, 'createNetlink'>;

const require = createRequire(import.meta.url);

export const { Flags, FlagsGet, FlagsNew, MessageType, Protocol }: Constants = require('netlink/dist/constants');
export const { AttrStream, parseAttributes, parseError }: Structs = require('netlink/dist/structs');
/** Messages of rtnetlink. */
export const rt = onDemand((): Netlink['rt'] => require('netlink/dist/rt/structs'));
/** What makes sockets; native. */
export const sockets = onDemand((): Sockets => require('netlink/dist/netlink'));
