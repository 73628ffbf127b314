/**
 * Who publishes which ports of which outside, found without looking at every endpoint: ports are kept in buckets of 256, and
 * a range is in all that it touches.
 *
 * Invariant: an endpoint is in it exactly with the list that it was added with.
 */
import type { EndpointSpec } from './endpoint.js';
import type { NetworkSpec } from './network.js';
import { outsideOf } from './outside.js';
import { publishedPorts } from './published-port.js';

export interface Publisher {
  endpoint: Pick<EndpointSpec, 'name' | 'publish'>;
  network: NetworkSpec;
}

const BUCKET_BITS = 8;

export class PublishedIndex {
  private readonly buckets = new Map<string, Set<string>>();
  /** By name of the endpoint. */
  private readonly publishers = new Map<string, Publisher>();

  add(publisher: Publisher): void {
    const keys = bucketsOf(publisher);
    if (keys.length === 0) return;
    const { name } = publisher.endpoint;
    this.publishers.set(name, publisher);
    for (const key of keys) {
      const bucket = this.buckets.get(key);
      if (bucket === undefined) this.buckets.set(key, new Set([name]));
      else bucket.add(name);
    }
  }

  /** Nothing happens when the endpoint publishes nothing. */
  remove(endpoint: string): void {
    const publisher = this.publishers.get(endpoint);
    if (publisher === undefined) return;
    this.publishers.delete(endpoint);
    for (const key of bucketsOf(publisher)) {
      const bucket = this.buckets.get(key);
      bucket?.delete(endpoint);
      if (bucket?.size === 0) this.buckets.delete(key);
    }
  }

  /** Everybody whose ports may be among those of `publisher`, itself included, in the order in which they came. */
  near(publisher: Publisher): Publisher[] {
    const names = new Set<string>();
    for (const key of bucketsOf(publisher)) for (const name of this.buckets.get(key) ?? []) names.add(name);
    return [...names].map((name) => this.publishers.get(name)!);
  }
}

function bucketsOf({ endpoint, network }: Publisher): string[] {
  if (endpoint.publish.length === 0) return [];
  const outside = outsideOf(network);
  const keys = new Set<string>();
  for (const { hostFirst, hostLast, protocol } of publishedPorts(endpoint.publish)) {
    const last = hostLast >> BUCKET_BITS;
    for (let bucket = hostFirst >> BUCKET_BITS; bucket <= last; bucket++) keys.add(`${protocol} ${bucket} ${outside}`);
  }
  return [...keys];
}
