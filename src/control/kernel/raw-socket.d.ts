/** Types of the package raw-socket, which has none: the part of it that raw-port.ts uses. */

declare module 'raw-socket' {
  import type { EventEmitter } from 'node:events';

  interface Options {
    /** IPPROTO_*. */
    protocol: number;
    /** Room for one packet; what is longer is cut. */
    bufferSize: number;
  }

  interface Socket extends EventEmitter {
    on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
    setOption(level: number, option: number, value: number): void;
    send(
      packet: Buffer,
      offset: number,
      length: number,
      address: string,
      sent: (error: Error | null, bytes: number) => void,
    ): this;
    pauseRecv(): this;
    close(): this;
  }

  const package_: { createSocket(options: Options): Socket };
  export default package_;
}
