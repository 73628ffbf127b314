/**
 * A service manager's end of sd_notify(3): a datagram socket (socat) that keeps every line that arrives. `address` is a
 * path, or a name of the abstract namespace behind @. Close it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { Background, waitFor } from './system-process.js';

export class NotifySocket {
  readonly address: string;
  readonly #socat: Background;

  private constructor(address: string, socat: Background) {
    this.address = address;
    this.#socat = socat;
  }

  static async listen(address: string): Promise<NotifySocket> {
    const isAbstract = address.startsWith('@');
    const source = isAbstract ? `ABSTRACT-RECV:${address.slice(1)}` : `UNIX-RECV:${address}`;
    const socat = new Background(['socat', '-u', source, 'STDOUT']);
    const isThere = () =>
      isAbstract ? readFileSync('/proc/net/unix', 'utf8').includes(` ${address}\n`) : existsSync(address);
    await waitFor(`socat to listen on ${address}`, async () => isThere() || socat.status !== null, 5000, 5);
    return new NotifySocket(address, socat);
  }

  /** Complete lines so far, in the order of their arrival. */
  get lines(): string[] {
    return this.#socat.stdout.split('\n').slice(0, -1);
  }

  count(line: string): number {
    return this.lines.filter((each) => each === line).length;
  }

  async close(): Promise<void> {
    if (this.#socat.status === null) await this.#socat.stop('SIGTERM');
  }
}
