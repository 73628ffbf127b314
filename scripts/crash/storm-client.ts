// A client that creates, deletes, attaches, moves and detaches what is its own, each request after the answer to the one
// before, until the daemon dies; and remembers what was acknowledged. Knows nothing of processes or the kernel.
//
// A request that was under way when the daemon died may have happened or not: `pending` is what it would have made.
import assert from 'node:assert/strict';
import type { Prng } from '../../src/lib/prng.js';
import type { Daemon } from '../../test/support/system-daemon.js';

/** Where an object is: not there, there but nowhere (a detached endpoint), or a place by name (compartments: 'here'). */
export type Whereabouts = 'absent' | 'detached' | (string & {});

export interface Fact {
  known: Whereabouts;
  pending: Whereabouts | null;
}

const HERE = 'here';
const COMPARTMENTS = 2;

export class StormClient {
  /** What was acknowledged, by name. */
  readonly compartments = new Map<string, Fact>();
  readonly endpoint: string;
  readonly fact: Fact = { known: 'absent', pending: null };
  acknowledged = 0;
  readonly #daemon: Daemon;
  readonly #random: Prng;
  readonly #network: string;
  #isOver = false;

  constructor(daemon: Daemon, random: Prng, network: string, nameOf: (base: string) => string, number: number) {
    this.#daemon = daemon;
    this.#random = random;
    this.#network = network;
    this.endpoint = nameOf(`e${number}`);
    for (let i = 0; i < COMPARTMENTS; i++)
      this.compartments.set(nameOf(`c${number}-${i}`), { known: 'absent', pending: null });
  }

  /** Sends requests until one is not answered. */
  async rage(): Promise<void> {
    this.#isOver = false;
    while (!this.#isOver) await this.#act();
  }

  /** Takes what a daemon lists for the truth, after it was compared; `places` is by name of compartment or endpoint. */
  settle(places: ReadonlyMap<string, Whereabouts>): void {
    for (const [name, fact] of [...this.compartments, [this.endpoint, this.fact] as const]) {
      fact.known = places.get(name) ?? 'absent';
      fact.pending = null;
    }
  }

  async #act(): Promise<void> {
    const { known } = this.fact;
    const there = [...this.compartments].filter(([, fact]) => fact.known !== 'absent').map(([name]) => name);
    const missing = [...this.compartments.keys()].filter((name) => !there.includes(name));
    const dice = this.#random.below(10);
    if (missing.length > 0 && (there.length === 0 || dice < 4)) return this.#createCompartment(this.#any(missing));
    const empty = there.filter((name) => name !== known);
    if (empty.length > 0 && dice === 9) return this.#deleteCompartment(this.#any(empty));
    if (known === 'absent') return this.#createEndpoint(dice < 2 ? null : this.#any(there));
    if (dice < 3) return this.#deleteEndpoint();
    if (dice < 5 && known !== 'detached') return this.#detach();
    return this.#attach(this.#any(there));
  }

  #any(names: readonly string[]): string {
    return names[this.#random.below(names.length)]!;
  }

  #createCompartment(name: string): Promise<void> {
    return this.#ask(this.compartments.get(name)!, HERE, 'POST', '/v1/compartments', { name });
  }

  #deleteCompartment(name: string): Promise<void> {
    return this.#ask(this.compartments.get(name)!, 'absent', 'DELETE', `/v1/compartments/${name}`);
  }

  #createEndpoint(compartment: string | null): Promise<void> {
    const body = { name: this.endpoint, network: this.#network, compartment };
    return this.#ask(this.fact, compartment ?? 'detached', 'POST', '/v1/endpoints', body);
  }

  #deleteEndpoint(): Promise<void> {
    return this.#ask(this.fact, 'absent', 'DELETE', `/v1/endpoints/${this.endpoint}`);
  }

  #detach(): Promise<void> {
    return this.#ask(this.fact, 'detached', 'POST', `/v1/endpoints/${this.endpoint}/detach`);
  }

  #attach(compartment: string): Promise<void> {
    return this.#ask(this.fact, compartment, 'POST', `/v1/endpoints/${this.endpoint}/attach`, { compartment });
  }

  async #ask(fact: Fact, then: Whereabouts, method: string, path: string, body?: object): Promise<void> {
    fact.pending = then;
    const reply = await this.#daemon.api(method, path, body).catch(() => null);
    if (reply === null || reply.status === 503) {
      this.#isOver = true; // it died, or says that it is about to
      return;
    }
    assert.ok(reply.status < 300, `${method} ${path}: ${reply.status} ${reply.text}`);
    fact.known = then;
    fact.pending = null;
    this.acknowledged++;
  }
}
