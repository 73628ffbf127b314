/**
 * Many short pieces of text for stdout, written together: one write per piece would cost more than everything else. What
 * there is goes out as soon as no more comes at once, so a live view does not lag.
 */
import type { Writable } from 'node:stream';
import { writeAndWait } from './write-and-wait.js';

const BATCH_LENGTH = 32 << 10;

export class TextOutput {
  private readonly output: Writable;
  private text = '';
  private timer: NodeJS.Immediate | null = null;

  constructor(output: Writable) {
    this.output = output;
  }

  /** True, or false when nobody reads any more; waits for a slow reader. */
  async write(text: string): Promise<boolean> {
    this.text += text;
    if (this.text.length >= BATCH_LENGTH) return this.flush();
    this.timer ??= setImmediate(() => void this.flush());
    return !this.output.destroyed;
  }

  /** Writes what there is. Call at the end. */
  async flush(): Promise<boolean> {
    const { text } = this;
    this.text = '';
    if (this.timer !== null) clearImmediate(this.timer);
    this.timer = null;
    return text === '' ? !this.output.destroyed : writeAndWait(this.output, text);
  }
}
