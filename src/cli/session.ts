/** What every command gets: the world around it (passed in, so that tests can stand in for it) and how to answer. */
import type { Readable, Writable } from 'node:stream';
import { printable } from '../lib/printable.js';
import { type Client, createClient } from './client.js';

export const DEFAULT_SOCKET = '/run/weft/weft.sock';
export const DEFAULT_RUN_DIR = '/run/weft';

/** One finding of the machine check (control/doctor/doctor.ts). */
export interface Finding {
  check: string;
  status: 'ok' | 'info' | 'warn' | 'fail';
  finding: string;
  cost: string;
  remedy: string;
}

/** What commands need of the native addon; every function answers >= 0 or -errno. */
export interface CliNative {
  /** 1 while somebody reads the pipe or socket `fd`, 0 when nobody does any more. */
  hasReader(fd: number): number;
  openNamespace(path: string): number;
  enterNamespace(fd: number): number;
  /** Mounts of this thread are its own from here on. */
  privateMounts(): number;
  bindMount(from: string, to: string): number;
  execProgram(file: string, args: readonly string[]): number;
}

export interface Terminal extends Writable {
  /** Absent where there is none. */
  fd?: number;
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** The world: daemon/weft.ts hands over the real one. */
export interface CliWorld {
  stdin: Readable;
  stdout: Terminal;
  stderr: Terminal;
  cwd: string;
  /** The environment variable WEFT_SOCKET. */
  socketVariable: string | undefined;
  /** Version of this program. */
  version: string;
  isRoot: boolean;
  /** Calls back on Ctrl-C (SIGINT), SIGTERM and SIGHUP; returns how to forget the callback. */
  onInterrupt(listener: () => void): () => void;
  /** Checks the machine; `runDir` is where a daemon keeps its marks. Never rejects. */
  checkMachine(runDir: string): Promise<Finding[]>;
  loadNative(): Promise<CliNative>;
}

export interface GlobalOptions {
  socket?: string;
  json?: boolean;
}

export class Session {
  readonly world: CliWorld;
  #options: GlobalOptions = {};

  constructor(world: CliWorld) {
    this.world = world;
  }

  /** Called when the command line has been read. */
  setOptions(options: GlobalOptions): void {
    this.#options = options;
  }

  get isJson(): boolean {
    return this.#options.json === true;
  }

  get socketPath(): string {
    return this.#options.socket ?? (this.world.socketVariable || DEFAULT_SOCKET);
  }

  get client(): Client {
    return createClient(this.socketPath);
  }

  /** Prints the one JSON document with --json, else the text for people. */
  answer(document: unknown, text: string): void {
    this.print(this.isJson ? JSON.stringify(document, null, 2) : text);
  }

  /** Prints to stdout; whatever the daemon's answers hold, nothing but line ends controls the terminal. */
  print(text: string): void {
    this.world.stdout.write(
      `${text
        .split('\n')
        .map((line) => printable(line))
        .join('\n')}\n`,
    );
  }

  note(text: string): void {
    this.world.stderr.write(`${printable(text)}\n`);
  }
}
