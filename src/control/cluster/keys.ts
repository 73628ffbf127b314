/**
 * The names of keys in etcd, and back. The layout is documented in README.md.
 *
 * Names of objects and hosts have no slash in them (model/names.ts), and neither have addresses and MACs.
 */

/** What is unique on a shared network: the name of an endpoint, a MAC, an address. */
export type ClaimKind = 'name' | 'mac' | 'ip';
const CLAIM_KINDS: readonly string[] = ['name', 'mac', 'ip'] satisfies ClaimKind[];

export type ClusterKey =
  | { kind: 'epoch' }
  | { kind: 'guard' }
  | { kind: 'host'; host: string }
  | { kind: 'network'; network: string }
  | { kind: 'vtep'; network: string; host: string }
  | { kind: 'endpoint'; network: string; host: string; name: string }
  | { kind: 'claim'; network: string; what: ClaimKind; value: string };

export class ClusterKeys {
  /** With a slash at the end: what all keys begin with. */
  readonly root: string;
  readonly epoch: string;
  /** Written with every change of a shared network, so that no two hosts make such a change at once. */
  readonly guard: string;

  /** `prefix` without a slash at the end. */
  constructor(prefix: string) {
    this.root = `${prefix}/`;
    this.epoch = `${this.root}epoch`;
    this.guard = `${this.root}guard`;
  }

  host(host: string): string {
    return `${this.root}hosts/${host}`;
  }

  network(network: string): string {
    return `${this.root}networks/${network}`;
  }

  vtep(network: string, host: string): string {
    return `${this.root}vteps/${network}/${host}`;
  }

  endpoint(network: string, host: string, name: string): string {
    return `${this.root}endpoints/${network}/${host}/${name}`;
  }

  claim(network: string, what: ClaimKind, value: string): string {
    return `${this.claims(network)}${what}/${value}`;
  }

  /** What all claims of a network begin with. */
  claims(network: string): string {
    return `${this.root}claims/${network}/`;
  }

  /** null for a key of another version of weft, or of nobody. */
  parse(key: string): ClusterKey | null {
    if (!key.startsWith(this.root)) return null;
    const [folder, ...rest] = key.slice(this.root.length).split('/') as [string, ...string[]];
    if (rest.some((part) => part === '')) return null;
    const [first, second, third] = rest;
    switch (`${folder} ${rest.length}`) {
      case 'epoch 0':
        return { kind: 'epoch' };
      case 'guard 0':
        return { kind: 'guard' };
      case 'hosts 1':
        return { kind: 'host', host: first! };
      case 'networks 1':
        return { kind: 'network', network: first! };
      case 'vteps 2':
        return { kind: 'vtep', network: first!, host: second! };
      case 'endpoints 3':
        return { kind: 'endpoint', network: first!, host: second!, name: third! };
      case 'claims 3':
        if (!CLAIM_KINDS.includes(second!)) return null;
        return { kind: 'claim', network: first!, what: second as ClaimKind, value: third! };
      default:
        return null;
    }
  }
}

/** The first key behind all that begin with `prefix`: what etcd calls the end of the range. */
export function endOfPrefix(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  // Keys are text and end in a slash here, so the last byte is never 255.
  end[end.length - 1]!++;
  return end;
}
