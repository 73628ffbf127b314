// An operator: somebody who changes the lab at random, one request after the other, and knows of every request what has to
// come of it. Operators work at the same time and never on each other's objects, so each can tell what the lists must show.
// Same seed, same requests; how they interleave with those of others is up to the machine.
import { join } from 'node:path';
import type { Prng } from '../../src/lib/prng.js';
import type { Reply } from '../../test/support/system-daemon.js';
import type { Lab } from '../../test/support/system-lab.js';
import { inNamespace, run } from '../../test/support/system-process.js';
import type { Deed, Knowledge, OwnEndpoint } from './deeds.js';

export interface OperatorParts {
  lab: Lab;
  random: Prng;
  /** Index among the operators; part of every name. */
  number: number;
  /** Network of the load, where everybody may have endpoints. */
  core: string;
  /** An address there that answers. */
  target: string;
  deeds: readonly Deed[];
}

/** What was asked for, how often, and what took longest. */
export interface Tally {
  done: number;
  slowestMs: number;
}

export class Operator implements Knowledge {
  readonly lab: Lab;
  readonly random: Prng;
  readonly core: string;
  readonly target: string;
  readonly compartments: string[] = [];
  readonly networks: string[] = [];
  readonly endpoints: OwnEndpoint[] = [];
  readonly captures: string[] = [];
  readonly problems: string[] = [];
  readonly tallies: Record<string, Tally> = {};
  private readonly deeds: readonly Deed[];
  /** Begins all of its names. */
  private readonly mark: string;
  private serial = 0;

  constructor(parts: OperatorParts) {
    this.lab = parts.lab;
    this.random = parts.random;
    this.core = parts.core;
    this.target = parts.target;
    this.deeds = parts.deeds;
    this.mark = parts.lab.name(`o${parts.number}-`);
  }

  /** Works until told to stop; then cleans up what is its own. */
  async work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) await this.act();
    await this.leave();
  }

  /** A name that nobody had before. */
  newName(kind: string): string {
    return `${this.mark}${kind}${++this.serial}`;
  }

  /** Whether it is the name of one of its own objects. */
  isMine(name: string): boolean {
    return name.startsWith(this.mark);
  }

  newFile(): string {
    return join(this.lab.directory, `${this.newName('file')}.pcapng`);
  }

  one<T>(list: readonly T[]): T {
    return list[this.random.below(list.length)]!;
  }

  chance(oneIn: number): boolean {
    return this.random.below(oneIn) === 0;
  }

  /** A request that has to be answered with `status`. Returns whether it was. */
  async ask(status: number, method: string, path: string, body?: unknown): Promise<Reply | null> {
    const reply = await this.lab.daemon.api(method, path, body).catch((error: Error) => error);
    if (reply instanceof Error) {
      this.problems.push(`${method} ${path}: ${reply.message}`);
      return null;
    }
    if (reply.status === status) return reply;
    const sent = body === undefined ? '' : ` ${JSON.stringify(body)}`;
    this.problems.push(`${method} ${path}${sent}: ${status} was expected, ${reply.status} came: ${reply.text}`);
    return null;
  }

  /** The command line tool, which has to end with one of these. */
  async weft(statuses: readonly number[], ...parameters: string[]): Promise<void> {
    const outcome = await this.lab.daemon.weft(parameters);
    if (statuses.includes(outcome.status)) return;
    this.problems.push(`weft ${parameters.join(' ')}: status ${outcome.status}: ${outcome.stderr}`);
  }

  /** A program in a compartment, whatever comes of it. */
  async inside(compartment: string, command: readonly string[]): Promise<void> {
    await run(inNamespace(join('/run/netns', compartment), command), { timeoutMs: 20_000 });
  }

  /** Deletes everything of its own, which must all be there. */
  async leave(): Promise<void> {
    for (const name of this.captures.splice(0)) await this.ask(204, 'DELETE', `/v1/captures/${name}`);
    for (const { name } of this.endpoints.splice(0)) await this.ask(204, 'DELETE', `/v1/endpoints/${name}`);
    for (const name of this.compartments.splice(0)) await this.ask(204, 'DELETE', `/v1/compartments/${name}`);
    for (const name of this.networks.splice(0)) await this.ask(204, 'DELETE', `/v1/networks/${name}`);
  }

  private async act(): Promise<void> {
    const possible = this.deeds.filter((deed) => deed.isPossible(this));
    let at = this.random.below(possible.reduce((sum, { weight }) => sum + weight, 0));
    const deed = possible.find(({ weight }) => {
      at -= weight;
      return at < 0;
    })!;
    const startedAt = performance.now();
    await deed.carryOut(this).catch((error: Error) => this.problems.push(`${deed.name}: ${error.message}`));
    const tally = this.tallies[deed.name] ?? { done: 0, slowestMs: 0 };
    this.tallies[deed.name] = {
      done: tally.done + 1,
      slowestMs: Math.max(tally.slowestMs, performance.now() - startedAt),
    };
  }
}
