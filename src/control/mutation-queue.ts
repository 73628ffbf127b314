/**
 * One change at a time: the queue that makes concurrent requests safe and every acknowledged one durable.
 *
 * A change runs (memory, kernel, datapath) and is then saved; only then does its promise resolve. When more changes are
 * waiting they run first and one save acknowledges them all, within bounds, because an fsync costs as much as a change.
 * A change that fails is taken back before the next one begins. When the save fails, everything that it would have
 * acknowledged is taken back, last change first, so that memory, kernel and disk agree again.
 */

import { RequestError } from '../model/problems.js';
import { KernelError } from './kernel/kernel.js';
import type { EventLog } from './state/event-log.js';
import { type ReportStep, Transaction } from './transaction.js';

/** Changes that wait for one save at most, and for how long. */
const BATCH_CHANGES = 32;
const BATCH_MS = 25;

export interface QueueOptions {
  /** Makes the state as it is now durable. */
  save(): Promise<void>;
  events: EventLog;
  clock: { now(): number };
  log: { error(details: object, message: string): void };
}

interface Waiting {
  what: string;
  work: (transaction: Transaction) => Promise<unknown>;
  isBarrier: boolean;
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
}

interface Unsaved extends Waiting {
  transaction: Transaction;
  value: unknown;
}

export class MutationQueue {
  private readonly options: QueueOptions;
  private waiting: Waiting[] = [];
  private idle: Promise<void> = Promise.resolve();
  private isRunning = false;
  private isClosed = false;
  /** Whether the file may differ from memory because a save failed half way. */
  private isDoubtful = false;

  constructor(options: QueueOptions) {
    this.options = options;
  }

  /** Queues a change. `what` names it in the log. Rejects with a `RequestError`, or with whatever a bug threw. */
  run<T>(what: string, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.enqueue(what, work, false);
  }

  /**
   * Queues a change that comes from outside and cannot be taken back, such as the end of a namespace. Everything before it
   * is saved first: to take that back afterwards would need what is gone.
   */
  runAfterSave<T>(what: string, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.enqueue(what, work, true);
  }

  /** Refuses further changes; resolves when those that wait are done. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.idle;
  }

  private enqueue<T>(what: string, work: Waiting['work'], isBarrier: boolean): Promise<T> {
    if (this.isClosed) {
      return Promise.reject(
        new RequestError('unavailable', 'weftd is shutting down', 'try again when it has started again'),
      );
    }
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({ what, work, isBarrier, resolve: resolve as (value: unknown) => void, reject });
      if (this.isRunning) return;
      this.isRunning = true;
      this.idle = this.drain();
    });
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch: Unsaved[] = [];
      const startedAt = this.options.clock.now();
      do {
        const [next] = this.waiting;
        if (next === undefined || (next.isBarrier && batch.length > 0)) break;
        this.waiting.shift();
        const done = await this.perform(next);
        if (done === null) continue;
        batch.push(done);
        if (done.transaction.isLastOfBatch) break;
      } while (batch.length < BATCH_CHANGES && this.options.clock.now() - startedAt < BATCH_MS);
      await this.acknowledge(batch);
    }
    this.isRunning = false;
  }

  /** null when the change failed, and was taken back and rejected. */
  private async perform(waiting: Waiting): Promise<Unsaved | null> {
    const transaction = new Transaction();
    try {
      const value = await waiting.work(transaction);
      return { ...waiting, transaction, value };
    } catch (error) {
      await this.rollback(waiting.what, transaction);
      waiting.reject(refusalFrom(error));
      return null;
    }
  }

  private async acknowledge(batch: readonly Unsaved[]): Promise<void> {
    try {
      if (this.isDoubtful || batch.some(({ transaction }) => transaction.isChange)) await this.options.save();
      this.isDoubtful = false;
    } catch (error) {
      this.isDoubtful = true;
      for (const { what, transaction, reject } of [...batch].reverse()) {
        await this.rollback(what, transaction);
        const message = `the change could not be saved: ${(error as Error).message}`;
        reject(new RequestError('unavailable', message, 'look at the disk that holds the state directory'));
      }
      return;
    }
    for (const { what, transaction, resolve, value } of batch) {
      await transaction.commit(this.options.events, this.reporter(what, 'a last step of a change failed'));
      resolve(value);
    }
  }

  private rollback(what: string, transaction: Transaction): Promise<void> {
    return transaction.rollback(this.reporter(what, 'a step could not be taken back'));
  }

  private reporter(change: string, message: string): ReportStep {
    return (step, error) => this.options.log.error({ change, step, error: String(error) }, message);
  }
}

/** What the kernel refused becomes a refusal of the request; a bug stays what it is. */
function refusalFrom(error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  return new RequestError('kernel-refused', error.message, '`weft doctor` shows what this machine lacks');
}
