/**
 * What `weft doctor` says of uplinks: whether nftables can do what nat networks want of it, tried out in a namespace of the
 * doctor's own, and whether the machine would drop what it is to forward for weft.
 */
import { KernelError } from '../kernel/kernel.js';
import { nftForwardPolicies, runNft } from '../kernel/nft.js';
import { formatRules } from '../uplinks/uplink-rules.js';
import { type Finding, ok, warn } from './doctor-finding.js';

const TABLE = 'weft_doctor';
/** One of each rule that an uplink has. Addresses of RFC 5737 and RFC 3849; nothing is ever sent. */
const SAMPLE = formatRules([
  {
    ifname: 'doctor0',
    masquerade: ['192.0.2.2', '2001:db8::2'],
    external: ['192.0.2.2', '2001:db8::2'],
    published: [
      { protocol: 'tcp', family: 4, hostAddress: null, first: 8080, last: 8080, target: '192.0.2.2' },
      { protocol: 'udp', family: 6, hostAddress: null, first: 8080, last: 8090, target: '2001:db8::2' },
    ],
  },
]);
const COST = 'nat networks with uplink host have no masquerade and no published ports';

/** `namespaceFd`: a namespace that is removed afterwards. */
export async function checkNftables(namespaceFd: number): Promise<Finding> {
  try {
    await runNft(namespaceFd, `table inet ${TABLE} {\n${SAMPLE}}\n`);
    return ok('nftables', 'takes the rules of uplinks');
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.errno === 'ENOENT') return warn('nftables', 'not installed', COST, 'apt-get install nftables');
    const remedy = 'the kernel needs nf_tables with NAT, masquerade and fib (CONFIG_NFT_NAT, NFT_MASQ, NFT_FIB_INET)';
    return warn('nftables', error.message, COST, remedy);
  }
}

/** Firewalls whose last word about forwarded packets is no. A rule of weft's own cannot overrule them. */
export async function checkForwardPolicy(hostFd: number): Promise<Finding> {
  let dropping: string[];
  try {
    dropping = await nftForwardPolicies(hostFd, 'drop');
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return warn('forward-policy', `not checked: ${error.message}`, 'unknown', 'install nftables, and look again');
  }
  if (dropping.length === 0) return ok('forward-policy', 'no chain drops by default what this machine forwards');
  const finding = `policy drop in ${dropping.join(', ')}`;
  const cost = 'what nat networks send over uplink host is dropped here unless a rule there accepts it';
  return warn('forward-policy', finding, cost, 'accept it there: packets in and out of interfaces weft-*');
}
