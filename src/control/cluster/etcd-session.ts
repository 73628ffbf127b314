/**
 * One connection to one member of etcd, from its first request to its first fault: whoever uses it opens another one then, perhaps to
 * another member, reads everything anew and goes on from there. So there are no retries in here that could hide a gap.
 *
 * Numbers of etcd (revisions, leases) come as texts; revisions fit into a double for as long as anybody will live.
 */
import { readFileSync } from 'node:fs';
import { noop } from 'cockatiel';
import { Etcd3, type IRequestOp, type IResponseHeader } from 'etcd3';
import type { ClusterOptions } from './cluster-options.js';
import { endOfPrefix } from './keys.js';

/** No request takes longer; etcd itself gives up after 5 s without a leader. */
const REQUEST_MS = 3000;
/** A connection that does not answer is dead. etcd allows no more than one ping in 5 s, and none without a stream. */
const PING_MS = 6000;
const PING_ANSWER_MS = 3000;
/** Keys read at once: well below what a message may hold. */
const PAGE_KEYS = 2000;
/** Operations of one transaction; etcd allows 128 (--max-txn-ops). */
export const MAX_OPERATIONS = 100;
/** Characters of the keys and values of one transaction; etcd takes 1.5 MiB (--max-request-bytes), and a character has up to 3 bytes. */
const MAX_CHARACTERS = 256 * 1024;

/** etcd.proto: enum values of Compare. */
const EQUAL = 0;
const CREATE = 1;
const MOD = 2;
const VALUE = 3;

export interface Entry {
  key: string;
  value: string;
  modRevision: number;
}

/** A change of one key; null: it was deleted. */
export interface Delta {
  key: string;
  value: string | null;
  modRevision: number;
}

/** What must hold for a transaction to happen. A `prefix` stands for every key that begins with it. */
export type Condition =
  | { key: string; is: 'absent' }
  | { key: string; is: 'present' }
  | { key: string; is: 'equal'; value: string }
  | { key: string; is: 'unchanged'; modRevision: number }
  | { prefix: string; is: 'absent' }
  | { prefix: string; is: 'equal'; value: string };

export type Operation = { put: string; value: string; lease?: string } | { delete: string } | { deletePrefix: string };

export interface Outcome {
  succeeded: boolean;
  revision: number;
  /** What the keys of `elseRead` are, when it did not succeed. */
  entries: Entry[];
}

export interface WatchListener {
  changed(deltas: Delta[], revision: number): void;
  /** Called once: nothing more will come. `isCompacted`: what was missed cannot be had any more. */
  ended(reason: string): void;
}

export class EtcdSession {
  readonly url: string;
  private readonly client: Etcd3;
  private isClosed = false;

  /** Throws when a certificate cannot be read. */
  constructor(options: ClusterOptions, url: string) {
    this.url = url;
    const { ca, cert, key, user, password } = options;
    const read = (path: string | null) => (path === null ? undefined : readFileSync(path));
    const [rootCertificate, certChain, privateKey] = [read(ca), read(cert), read(key)];
    this.client = new Etcd3({
      hosts: [url],
      ...(rootCertificate === undefined
        ? {}
        : {
            credentials: {
              rootCertificate,
              ...(certChain === undefined || privateKey === undefined ? {} : { certChain, privateKey }),
            },
          }),
      ...(user === null ? {} : { auth: { username: user, password: password ?? '' } }),
      defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + REQUEST_MS }),
      faultHandling: { host: () => noop, global: noop },
      grpcOptions: {
        'grpc.keepalive_time_ms': PING_MS,
        'grpc.keepalive_timeout_ms': PING_ANSWER_MS,
        'grpc.initial_reconnect_backoff_ms': 200,
        'grpc.max_reconnect_backoff_ms': 1000,
        'grpc.max_receive_message_length': -1,
        // A connection of its own, so that a new session never begins with the corpse of the last one.
        'grpc.use_local_subchannel_pool': 1,
      },
    });
  }

  /** Every key that begins with `prefix`, as all of them were at one revision. */
  async readAll(prefix: string): Promise<{ revision: number; entries: Entry[] }> {
    const entries: Entry[] = [];
    const end = endOfPrefix(prefix);
    let from = Buffer.from(prefix);
    let header: IResponseHeader | null = null;
    for (;;) {
      const at = header === null ? {} : { revision: header.revision };
      const page = await this.client.kv.range({ key: from, range_end: end, limit: PAGE_KEYS, ...at });
      header ??= page.header;
      for (const kv of page.kvs) entries.push(entryOf(kv));
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      from = Buffer.concat([last.key, Buffer.of(0)]);
    }
    return { revision: Number(header.revision), entries };
  }

  async read(key: string): Promise<Entry | null> {
    const { kvs } = await this.client.kv.range({ key: Buffer.from(key) });
    const [kv] = kvs;
    return kv === undefined ? null : entryOf(kv);
  }

  /** All operations happen, or none does. `elseRead`: keys that are read when a condition does not hold. */
  async transact(
    conditions: readonly Condition[],
    operations: readonly Operation[],
    elseRead: readonly string[] = [],
  ): Promise<Outcome> {
    const response = await this.client.kv.txn({
      compare: conditions.map(compareOf),
      success: operations.map(requestOf),
      failure: elseRead.map((key) => ({ request_range: { key: Buffer.from(key) } })),
    });
    const entries = response.succeeded
      ? []
      : response.responses.flatMap(({ response_range }) => response_range?.kvs.map(entryOf) ?? []);
    return { succeeded: response.succeeded, revision: Number(response.header.revision), entries };
  }

  /** Deletes those of the keys that have the value, at most MAX_OPERATIONS. False, and nothing happens, when the condition does not hold. */
  async removeEqual(keys: readonly string[], value: string, condition: Condition): Promise<boolean> {
    const success = keys.map(
      (key): IRequestOp => ({
        request_txn: { compare: [compareOf({ key, is: 'equal', value })], success: [requestOf({ delete: key })] },
      }),
    );
    const { succeeded } = await this.client.kv.txn({ compare: [compareOf(condition)], success });
    return succeeded;
  }

  /** Puts those of the keys that are not there. */
  async putAbsent(entries: readonly { key: string; value: string }[]): Promise<void> {
    for (const part of inParts(entries, ({ key, value }) => key.length + value.length)) {
      const success = part.map(
        ({ key, value }): IRequestOp => ({
          request_txn: { compare: [compareOf({ key, is: 'absent' })], success: [requestOf({ put: key, value })] },
        }),
      );
      await this.client.kv.txn({ success });
    }
  }

  /** Everything that happens to keys with the prefix from `revision` on, in order. */
  async watch(prefix: string, revision: number, listener: WatchListener): Promise<void> {
    let hasEnded = false;
    const end = (reason: string) => {
      if (hasEnded) return;
      hasEnded = true;
      listener.ended(reason);
    };
    const stream = await this.client.watchClient.watch();
    stream.on('data', (response) => {
      if (response.canceled) {
        const isCompacted = Number(response.compact_revision) > 0;
        return end(
          isCompacted ? 'etcd has compacted what was missed' : `etcd ended the watch: ${response.cancel_reason}`,
        );
      }
      if (hasEnded || response.created) return;
      listener.changed(response.events.map(deltaOf), Number(response.header.revision));
    });
    stream.on('error', (error) => end(error.message));
    stream.on('end', () => end('etcd ended the watch'));
    const key = Buffer.from(prefix);
    stream.write({ create_request: { key, range_end: endOfPrefix(prefix), start_revision: revision } });
  }

  async grantLease(seconds: number): Promise<string> {
    const { ID } = await this.client.leaseClient.leaseGrant({ TTL: seconds });
    return ID;
  }

  /** Calls back with the seconds that the lease has from now on, 0 when it is gone, for each call of `renew`. */
  async keepLease(
    lease: string,
    listener: { renewed(seconds: number): void; ended(reason: string): void },
  ): Promise<{ renew(): void }> {
    const stream = await this.client.leaseClient.leaseKeepAlive();
    stream.on('data', (response) => listener.renewed(Number(response.TTL)));
    stream.on('error', (error) => listener.ended(error.message));
    stream.on('end', () => listener.ended('etcd ended the stream of the lease'));
    return { renew: () => stream.write({ ID: lease }) };
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.client.close();
  }
}

/** As few parts as possible of which each fits into a transaction, unless it is one row that does not. */
export function* inParts<T>(rows: readonly T[], lengthOf: (row: T) => number): Iterable<T[]> {
  let part: T[] = [];
  let length = 0;
  for (const row of rows) {
    if (part.length === MAX_OPERATIONS || (part.length > 0 && length + lengthOf(row) > MAX_CHARACTERS)) {
      yield part;
      part = [];
      length = 0;
    }
    part.push(row);
    length += lengthOf(row);
  }
  if (part.length > 0) yield part;
}

function entryOf(kv: { key: Buffer; value: Buffer; mod_revision: string }): Entry {
  return { key: kv.key.toString(), value: kv.value.toString(), modRevision: Number(kv.mod_revision) };
}

function deltaOf(event: { type: string; kv: { key: Buffer; value: Buffer; mod_revision: string } }): Delta {
  const { key, value, modRevision } = entryOf(event.kv);
  return { key, value: event.type.toUpperCase() === 'DELETE' ? null : value, modRevision };
}

function compareOf(condition: Condition) {
  const isRange = 'prefix' in condition;
  const text = isRange ? condition.prefix : condition.key;
  const where = { key: Buffer.from(text), ...(isRange ? { range_end: endOfPrefix(text) } : {}) };
  switch (condition.is) {
    case 'absent':
      return { ...where, target: CREATE, result: EQUAL, create_revision: '0' };
    case 'present':
      return { ...where, target: CREATE, result: GREATER, create_revision: '0' };
    case 'equal':
      return { ...where, target: VALUE, result: EQUAL, value: Buffer.from(condition.value) };
    case 'unchanged':
      return { ...where, target: MOD, result: EQUAL, mod_revision: String(condition.modRevision) };
  }
}

const GREATER = 1;

function requestOf(operation: Operation): IRequestOp {
  if ('put' in operation) {
    const { put, value, lease } = operation;
    const request = { key: Buffer.from(put), value: Buffer.from(value), ...(lease === undefined ? {} : { lease }) };
    return { request_put: request };
  }
  if ('delete' in operation) return { request_delete_range: { key: Buffer.from(operation.delete) } };
  const { deletePrefix } = operation;
  return { request_delete_range: { key: Buffer.from(deletePrefix), range_end: endOfPrefix(deletePrefix) } };
}
