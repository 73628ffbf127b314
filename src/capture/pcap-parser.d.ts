/** Types of the package pcap-parser, which has none: the part of it that pcap-reader.ts uses. */

declare module 'pcap-parser' {
  import type { EventEmitter } from 'node:events';

  interface GlobalHeader {
    /** LINKTYPE_* in the low 16 bits. */
    linkLayerType: number;
  }

  interface PacketHeader {
    timestampSeconds: number;
    timestampMicroseconds: number;
    capturedLength: number;
    originalLength: number;
  }

  interface Parser extends EventEmitter {
    on(event: 'globalHeader', listener: (header: GlobalHeader) => void): this;
    on(event: 'packetHeader', listener: (header: PacketHeader) => void): this;
    on(event: 'packet', listener: (packet: { header: PacketHeader; data: Buffer }) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
  }

  /** Listens to `data` of anything with the events of a stream. */
  export function parse(input: EventEmitter): Parser;
}
