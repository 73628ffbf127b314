/**
 * A long TCP transfer between two compartments whose every byte is checked, for tests that disturb it on its way.
 * The ends are real programs (system-stream-program.ts) with the kernel's own TCP in their namespaces.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Lab } from './system-lab.js';
import { type Background, waitFor } from './system-process.js';

const PROGRAM = fileURLToPath(new URL('system-stream-program.js', import.meta.url));
/** Fast enough that super-frames are in flight all the time, slow enough that a few seconds of it fit into a test. */
const BYTES_PER_SECOND = 60e6;
/** Ports that transfers take in turn, for tests that have to open them somewhere. */
const FIRST_PORT = 5201;
const LAST_PORT = 5231;
export const TRANSFER_PORTS = `${FIRST_PORT}-${LAST_PORT}`;
let transfers = 0;

export interface TransferRequest {
  from: string;
  to: string;
  /** Address of `to`. */
  address: string;
  bytes: number;
  bytesPerSecond?: number;
}

export class Transfer {
  readonly #receiver: Background;
  readonly #sender: Background;
  readonly #bytes: number;

  constructor(receiver: Background, sender: Background, bytes: number) {
    this.#receiver = receiver;
    this.#sender = sender;
    this.#bytes = bytes;
  }

  /** Bytes that have arrived so far. */
  get received(): number {
    return lastLine(this.#receiver).bytes ?? 0;
  }

  /** Waits until `bytes` more have arrived than now: the transfer is alive. */
  async progress(bytes: number, timeoutMs = 20_000): Promise<void> {
    const goal = Math.min(this.received + bytes, this.#bytes);
    await waitFor(
      `the transfer to reach ${goal} bytes (it is at ${this.received}; ${this.#receiver.stderr}${this.#sender.stderr})`,
      () => {
        assert.ok(
          this.#sender.status === null || this.#sender.status === 0,
          `the sender ended: ${this.#sender.stderr}`,
        );
        return this.received >= goal;
      },
      timeoutMs,
    );
  }

  /** Waits for the end: everything arrived, exactly as it was sent. */
  async finish(timeoutMs = 60_000): Promise<void> {
    const [sent, received] = await Promise.all([this.#sender.end(timeoutMs), this.#receiver.end(timeoutMs)]);
    assert.deepEqual([sent.status, received.status], [0, 0], `sender: ${sent.stderr}\nreceiver: ${received.stderr}`);
    const [atSender, atReceiver] = [lastLine(this.#sender), lastLine(this.#receiver)];
    assert.equal(atReceiver.bytes, this.#bytes, 'every byte arrived');
    assert.equal(atReceiver.sha256, atSender.sha256, 'in its place and unchanged');
  }
}

/** Starts a transfer and returns when its first bytes have arrived. */
export async function startTransfer(lab: Lab, request: TransferRequest): Promise<Transfer> {
  const port = FIRST_PORT + (transfers++ % (LAST_PORT - FIRST_PORT + 1));
  const receiver = lab.background(request.to, [process.execPath, PROGRAM, 'receive', String(port)]);
  await waitFor('the receiver to listen', () => receiver.stdout.includes('listening'));
  const rate = request.bytesPerSecond ?? BYTES_PER_SECOND;
  const parameters = ['send', request.address, String(port), String(request.bytes), String(rate)];
  const sender = lab.background(request.from, [process.execPath, PROGRAM, ...parameters]);
  const transfer = new Transfer(receiver, sender, request.bytes);
  await transfer.progress(1);
  return transfer;
}

function lastLine(program: Background): { bytes?: number; sha256?: string } {
  const complete = program.stdout.slice(0, program.stdout.lastIndexOf('\n') + 1).trimEnd();
  const line = complete.slice(complete.lastIndexOf('\n') + 1);
  return line === '' ? {} : JSON.parse(line);
}
