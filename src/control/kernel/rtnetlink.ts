/**
 * One short-lived rtnetlink socket inside a network namespace, over the package `netlink`. What to say through it is in
 * links.ts, link-addresses.ts and link-routes.ts. Read first: netlink(7), rtnetlink(7).
 *
 * The socket belongs to the namespace in which it was made, whatever the thread does later, and it keeps that namespace
 * alive: so it is closed as soon as the work is done.
 *
 * Heads up, of netlink 0.3.0: replies of an odd size make its own attribute parsers throw, and then the request never
 * ends; an answer between the parts of a dump ends the dump. So requests go through its lower layer, dumps never
 * together with others, have a time limit, and are parsed here attribute by attribute.
 */
import type * as netlink from 'netlink';
import { kernelError } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';
import {
  AttrStream,
  Flags,
  FlagsGet,
  MessageType,
  Protocol,
  parseAttributes,
  parseError,
  sockets,
} from './netlink-package.js';

/** The kernel answers within microseconds; a request that takes so long has lost its answer. */
const TIMEOUT_MS = 10_000;
/** A dump that was interrupted by a change is repeated this often. */
const DUMP_ATTEMPTS = 8;

/** Types of messages come in fours: new, delete, get, set; flags of a get mean something else in the others. */
const GET = 2;

/** Attributes of one message by type; of repeated ones the last. */
export type Attributes = Map<number, Buffer>;

export class Rtnetlink {
  readonly #socket: netlink.NetlinkSocket;
  readonly #broken: Promise<never>;
  /** Settles when the last dump is answered: no other request is sent before. */
  #dump: Promise<unknown> = Promise.resolve();
  /** Settles when all requests so far are answered: no dump is sent before. */
  #all: Promise<unknown> = Promise.resolve();

  /** Opens the socket in the namespace behind `namespaceFd`. */
  constructor(namespaceFd: number) {
    const { createNetlink } = sockets(); // loaded out here: a visit to a namespace is short
    try {
      this.#socket = insideNamespace(namespaceFd, () => createNetlink(Protocol.ROUTE));
    } catch (error) {
      throw asKernelError('socket', 'rtnetlink', error);
    }
    this.#broken = new Promise((_, reject) => {
      this.#socket.on('error', (error) => reject(asKernelError('recvmsg', 'rtnetlink', error)));
      this.#socket.on('invalid', (error) => reject(asKernelError('recvmsg', 'rtnetlink', error)));
    });
    this.#broken.catch(() => {}); // heard through each request
  }

  /**
   * Sends one request and waits for its answer. The kernel works on requests that are made at once in their order.
   * `call` and `subject` are for the message of the `KernelError`.
   */
  request(
    call: string,
    subject: string,
    type: number,
    body: netlink.AttrStream,
    flags = 0,
  ): Promise<netlink.NetlinkMessage[]> {
    const isDump = (flags & FlagsGet.DUMP) === FlagsGet.DUMP && type % 4 === GET;
    const before = isDump ? this.#all : this.#dump;
    const answer = before.then(() => this.#exchange(call, subject, type, body, flags));
    const settled = answer.catch(() => {});
    this.#all = Promise.all([this.#all, settled]);
    if (isDump) this.#dump = settled;
    return answer;
  }

  /** All objects of a kind; repeated when the kernel says that it changed meanwhile (NLM_F_DUMP_INTR). */
  async dump(call: string, type: number, body: netlink.AttrStream): Promise<netlink.NetlinkMessage[]> {
    let messages: netlink.NetlinkMessage[] = [];
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      messages = await this.request(call, 'all', type, body, FlagsGet.DUMP);
      if (!messages.some((message) => (message.flags & Flags.DUMP_INTR) !== 0)) break;
    }
    return messages;
  }

  /** Closes it once no callback of the package is running: netlink 0.3.0 goes on to use its handles behind one. */
  async close(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#socket.close();
  }

  async #exchange(
    call: string,
    subject: string,
    type: number,
    body: netlink.AttrStream,
    flags: number,
  ): Promise<netlink.NetlinkMessage[]> {
    const options = { flags, checkError: false, timeout: TIMEOUT_MS };
    let messages: netlink.NetlinkMessage[];
    try {
      [messages] = await Promise.race([this.#socket.request(type, body.bufs, options), this.#broken]);
    } catch (error) {
      throw asKernelError(call, subject, error);
    }
    const first = messages[0];
    if (first?.type === MessageType.ERROR) {
      const { errno } = parseError(first.data, first.flags);
      if (errno !== 0) throw kernelError(call, subject, errno);
      return [];
    }
    return messages;
  }
}

/** Opens a socket in the namespace, runs `work` with it and closes it, whatever happens. */
export async function withRtnetlink<T>(namespaceFd: number, work: (rtnetlink: Rtnetlink) => Promise<T>): Promise<T> {
  const rtnetlink = new Rtnetlink(namespaceFd);
  try {
    return await work(rtnetlink);
  } finally {
    await rtnetlink.close();
  }
}

/** The attributes behind the fixed header of `headerBytes`; an unreadable rest is left out. */
export function attributesOf(message: netlink.NetlinkMessage, headerBytes: number): Attributes {
  return readAttributes(message.data.subarray(headerBytes));
}

/** The attributes inside of another one; none when that is not there. */
export function nestedAttributes(attribute: Buffer | undefined): Attributes {
  return attribute === undefined ? new Map() : readAttributes(attribute);
}

function readAttributes(bytes: Buffer): Attributes {
  const attributes: Attributes = new Map();
  try {
    parseAttributes(bytes, (item) => attributes.set(item.type, item.data));
  } catch {
    // a truncated attribute at the end: the whole ones before it are good
  }
  return attributes;
}

/** Text of a NUL-terminated attribute. */
export function textOf(attribute: Buffer | undefined): string | null {
  if (attribute === undefined) return null;
  const end = attribute.indexOf(0);
  return attribute.toString('utf8', 0, end < 0 ? attribute.length : end);
}

/** Unsigned 32-bit attribute in the order of the machine, as netlink has them. */
export function numberOf(attribute: Buffer | undefined): number | null {
  if (attribute === undefined || attribute.length < 4) return null;
  return new Uint32Array(Uint8Array.from(attribute.subarray(0, 4)).buffer)[0] ?? null;
}

/** An empty body, or one that begins with these bytes. */
export function bodyOf(...parts: Parameters<netlink.AttrStream['emit']>[0][]): netlink.AttrStream {
  const body = new AttrStream();
  for (const part of parts) body.emit(part);
  return body;
}

function asKernelError(call: string, subject: string, error: unknown): Error {
  const { errno } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number') return kernelError(call, subject, errno);
  if (error instanceof Error && error.name === 'KernelError') return error;
  const ETIMEDOUT = 110; // no answer at all, or one that cannot be read
  return Object.assign(kernelError(call, subject, ETIMEDOUT), { cause: error });
}
