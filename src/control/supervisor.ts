/**
 * Talks to the service manager that started this process (systemd, or whatever speaks sd_notify(3)): ready, one line of
 * status, alive, stopping. Without one, nothing happens.
 *
 * Alive means that the datapath turns, not that this thread runs: the watchdog is fed only when the worker has finished
 * turns since the last time (an idle one turns every 100 ms). A worker that hangs is terminated and replaced by
 * datapath-client.ts long before the service manager loses patience; only when that does not help is the daemon restarted.
 */
import { errorName, native } from '../native/index.js';
import type { StatusView } from './controller.js';

/** Fed so many times within the time that the service manager waits. */
const FEEDS = 5;
const MICROS_PER_MS = 1000;
/** Rewritten at this pace where no watchdog sets another. */
const USUAL_MS = 2000;

/** What the service manager passed in the environment. */
export interface Supervision {
  /** Path or @name of its socket; null without a service manager. */
  address: string | null;
  /** How long it waits for a sign of life; null when it does not. */
  watchdogMs: number | null;
}

export interface Supervised {
  /** Turns that the datapath has finished. */
  heartbeat(): number;
  /** One line for the operator. */
  status(): string;
}

export interface SupervisorOptions {
  supervision: Supervision;
  log: { warn(details: object, message: string): void };
  /** Delivers one message: 0 or -errno. */
  send?: (address: string, message: string) => number;
}

/** Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and deletes them, so that no child takes them for its own. */
export function takeSupervision(environment: Record<string, string | undefined>, pid: number): Supervision {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  const micros = Number(WATCHDOG_USEC);
  const isMeant = WATCHDOG_PID === undefined || WATCHDOG_PID === '' || Number(WATCHDOG_PID) === pid;
  return {
    address: NOTIFY_SOCKET === undefined || NOTIFY_SOCKET === '' ? null : NOTIFY_SOCKET,
    watchdogMs: isMeant && Number.isFinite(micros) && micros > 0 ? micros / MICROS_PER_MS : null,
  };
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  #timer: NodeJS.Timeout | null = null;
  #lastBeat = -1;
  #lastStatus = '';
  #isComplaining = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** A line of status before it is ready, or while it stops. */
  say(status: string): void {
    if (status === this.#lastStatus) return;
    this.#lastStatus = status;
    this.#send([`STATUS=${oneLine(status)}`]);
  }

  /** The API answers. From now on the watchdog is fed and the status kept up to date. */
  ready(supervised: Supervised): void {
    const { address, watchdogMs } = this.#options.supervision;
    if (address === null) return;
    this.#lastStatus = supervised.status();
    this.#send(['READY=1', `STATUS=${oneLine(this.#lastStatus)}`]);
    const periodMs = watchdogMs === null ? USUAL_MS : Math.max(1, watchdogMs / FEEDS);
    this.#timer = setInterval(() => this.look(supervised), periodMs).unref();
  }

  /** One look at the datapath; the timer calls it. */
  look(supervised: Supervised): void {
    this.say(supervised.status());
    const beat = supervised.heartbeat();
    if (beat === this.#lastBeat) return;
    this.#lastBeat = beat;
    if (this.#options.supervision.watchdogMs !== null) this.#send(['WATCHDOG=1']);
  }

  stopping(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#lastStatus = 'Stopping; interfaces of endpoints stay';
    this.#send(['STOPPING=1', `STATUS=${this.#lastStatus}`]);
  }

  #send(fields: readonly string[]): void {
    const { supervision, log, send = native.notifySupervisor } = this.#options;
    const { address } = supervision;
    if (address === null) return;
    const result = send(address, `${fields.join('\n')}\n`);
    // Once per trouble: the log must not fill while the service manager is away.
    if (result < 0 && !this.#isComplaining) {
      log.warn({ address, error: errorName(result) }, 'the service manager cannot be told how weftd is');
    }
    this.#isComplaining = result < 0;
  }
}

/** What `systemctl status` shows. */
export function statusLine(view: StatusView): string {
  const { attached, total } = view.endpoints;
  const captures = view.captures === 0 ? '' : `, ${count(view.captures, 'capture')}`;
  const state = view.worker === 'running' ? 'Forwarding' : 'The datapath worker is being started again';
  const trouble = view.warnings.length === 0 ? '' : `; ${count(view.warnings.length, 'warning')}, see weft status`;
  return `${state}: ${count(view.networks, 'network')}, ${attached} of ${count(total, 'endpoint')} attached${captures}${trouble}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
