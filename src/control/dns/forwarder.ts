/**
 * Questions that others have to answer: asked of the servers in their order, each question only once at a time, and the
 * answers kept in the cache.
 *
 *   a server does not answer in time, or cannot be reached          the next one is asked, two rounds in all
 *   it answers SERVFAIL, REFUSED and the like                       the next one is asked; the first such answer counts
 *   it does not understand EDNS (FORMERR, NOTIMP)                   asked again without
 *   its answer does not fit into UDP                                asked again over TCP
 *
 * A server that did not answer twice in a row is dead. While all are, a question fails at once; only now and then one is used
 * to find out. So a dead upstream costs the first asker some seconds and the others nothing.
 *
 * No timers and no sockets here: time and the exchange with a server are given.
 */
import type { AnswerCache, KeptAnswer } from './answer-cache.js';
import { readAnswer } from './answer-reader.js';
import type { Exchange } from './exchange.js';
import { type Answer, CLASS_IN, type Query, RCODE, TYPE } from './message.js';
import { writeQuery } from './message-writer.js';
import type { UpstreamServer } from './resolv-conf.js';

/** Clients wait five seconds (resolv.conf(5)); they should hear from weft before that. */
const PATIENCE_MS = 4500;
const ROUND_MS = [1000, 1800] as const;
const TCP_MS = 2500;
const PROBE_MS = 1000;
/** Answers that did not come in a row until a server is dead. */
const DEAD_AFTER = 2;
/** Between two questions that find out whether a dead server lives again; the first may be asked at once. */
const PROBE_AFTER_MS = 2000;
const MAX_PROBE_AFTER_MS = 4000;
/** RFC 9520 section 3.2: a failure is kept for a second at least. */
const FAILURE_SECONDS = 1;

/** `no-server`: there is none to ask. `dead`: none answers. `busy`: too many questions wait already. */
export type Failure = 'no-server' | 'dead' | 'busy';

export interface ForwarderParts {
  cache: AnswerCache;
  exchange: Exchange;
  /** The same array as long as they are the same. */
  servers: () => readonly UpstreamServer[];
  /** Never goes back. */
  nowMs: () => number;
  /** Unguessable, 0..65535. */
  newId: () => number;
  /** Questions that may be asked at the same time. */
  most: number;
  /** Begins the keys of its answers in the cache. */
  name: string;
}

interface ServerState {
  server: UpstreamServer;
  /** Answers missed in a row. */
  missed: number;
  probeAtMs: number;
  probeAfterMs: number;
}

export class Forwarder {
  /** Questions that were sent to a server. */
  asked = 0;
  private readonly parts: ForwarderParts;
  private readonly flights = new Map<string, Promise<Answer | Failure>>();
  private states: ServerState[] = [];
  private known: readonly UpstreamServer[] = [];
  /** Part of the keys in the cache: other servers may give other answers. */
  private generation = 0;

  constructor(parts: ForwarderParts) {
    this.parts = parts;
  }

  /** Never rejects. */
  async resolve(query: Query): Promise<KeptAnswer | Failure> {
    this.lookAtServers();
    const { cache, most, name } = this.parts;
    const key = `${name} ${this.generation} ${keyOf(query)}`;
    const kept = cache.find(key);
    if (kept !== null) return kept;
    let flight = this.flights.get(key);
    if (flight === undefined) {
      if (this.states.length === 0) return 'no-server';
      if (this.flights.size >= most) return 'busy';
      flight = this.ask(query).then((answer) => {
        this.flights.delete(key);
        if (typeof answer === 'object') cache.insert(key, keepFailure(answer));
        return answer;
      });
      this.flights.set(key, flight);
    }
    const answer = await flight;
    return typeof answer === 'string' ? answer : { answer, ageSeconds: 0 };
  }

  private lookAtServers(): void {
    const servers = this.parts.servers();
    if (servers === this.known) return;
    this.known = servers;
    this.generation++;
    this.states = servers.map((server) => ({ server, missed: 0, probeAtMs: 0, probeAfterMs: 0 }));
  }

  private async ask(query: Query): Promise<Answer | Failure> {
    const until = this.parts.nowMs() + PATIENCE_MS;
    const { states } = this;
    let refused: Answer | null = null;
    for (const [round, roundMs] of ROUND_MS.entries()) {
      for (const state of states) {
        const isTried = round === 0 || state.missed < DEAD_AFTER;
        const patience = Math.min(isTried ? this.patienceWith(state, roundMs) : 0, until - this.parts.nowMs());
        if (patience <= 0) continue;
        const answer = await this.askServer(state, query, patience, until);
        if (answer === null) continue;
        if (answer.rcode === RCODE.ok || answer.rcode === RCODE.noName) return answer;
        refused ??= answer;
      }
      if (refused !== null) return refused;
    }
    return 'dead';
  }

  /** How long to wait for an answer of this server now, 0 = do not ask it. */
  private patienceWith(state: ServerState, roundMs: number): number {
    if (state.missed < DEAD_AFTER) return roundMs;
    const now = this.parts.nowMs();
    if (now < state.probeAtMs) return 0;
    state.probeAtMs = now + PROBE_MS + state.probeAfterMs;
    return PROBE_MS;
  }

  /** null: it did not answer. `lastMs`: until when anybody waits. */
  private async askServer(
    state: ServerState,
    query: Query,
    patienceMs: number,
    lastMs: number,
  ): Promise<Answer | null> {
    const { nowMs } = this.parts;
    const until = nowMs() + patienceMs;
    let hasAnswered = false;
    try {
      let answer = await this.send(state.server, 'udp', query, true, patienceMs);
      // It lives, also when it has no TCP: else questions for large answers would take it from everybody.
      hasAnswered = true;
      state.missed = 0;
      state.probeAfterMs = 0;
      const knowsNoEdns = answer.rcode === RCODE.badFormat || answer.rcode === RCODE.notImplemented;
      if (knowsNoEdns) answer = await this.send(state.server, 'udp', query, false, Math.max(1, until - nowMs()));
      if (!answer.isTruncated) return answer;
      return await this.send(state.server, 'tcp', query, !knowsNoEdns, clampMs(lastMs - nowMs(), TCP_MS));
    } catch {
      if (!hasAnswered) this.miss(state);
      return null;
    }
  }

  private miss(state: ServerState): void {
    state.missed++;
    if (state.missed < DEAD_AFTER) return;
    state.probeAtMs = this.parts.nowMs() + state.probeAfterMs;
    state.probeAfterMs = Math.min(Math.max(2 * state.probeAfterMs, PROBE_AFTER_MS), MAX_PROBE_AFTER_MS);
  }

  private send(
    server: UpstreamServer,
    transport: 'udp' | 'tcp',
    query: Query,
    withEdns: boolean,
    timeoutMs: number,
  ): Promise<Answer> {
    const id = this.parts.newId();
    this.asked++;
    const accept = (response: Buffer) => readAnswer(query, id, response);
    return this.parts.exchange(server, transport, writeQuery(query, id, withEdns), accept, timeoutMs);
  }
}

function clampMs(leftMs: number, mostMs: number): number {
  return Math.max(1, Math.min(leftMs, mostMs));
}

/** Questions with the same key have the same answer. The name counts without regard to case. */
export function keyOf({ labels, type, class: klass, edns, checkingDisabled }: Query): string {
  const bits = (edns?.dnssecOk ? 1 : 0) | (checkingDisabled ? 2 : 0);
  return `${type} ${klass} ${bits} ${labels.map((label) => `${label.length}:${label}`).join('')}`;
}

function keepFailure(answer: Answer): Answer {
  if (answer.rcode === RCODE.ok || answer.rcode === RCODE.noName || answer.rcode === RCODE.refused) return answer;
  return { ...answer, ttl: FAILURE_SECONDS };
}

/** Whether a whole zone is asked for. */
export function isTransfer({ type }: Query): boolean {
  return type === 251 || type === 252; // IXFR, AXFR
}

/** Whether a question is one that other servers may be asked at all. */
export function isForwardable({ type, class: klass }: Query): boolean {
  // 251..254: transfers (AXFR, IXFR) and obsolete ones. 128..248 are meta types too, but nobody has them.
  return klass === CLASS_IN && (type < 251 || type === TYPE.any || type > 255) && type !== 0;
}
