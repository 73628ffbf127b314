/** Capture files, built byte by byte: what replay and the readers of captures are given in tests. Little-endian. */

export interface FilePacket {
  bytes: Uint8Array;
  /** Milliseconds since 1970. */
  atMs?: number;
  /** On the wire; that of `bytes` unless it was cut. */
  length?: number;
  /** Of a pcapng: the index of its interface, 0 unless given, and which way it went. */
  interfaceIndex?: number;
  direction?: 'in' | 'out';
}

const START_MS = Date.UTC(2024, 0, 1);

/** https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html, with times in microseconds. */
export function pcapFile(packets: readonly FilePacket[], linkType = 1): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(linkType, 20);
  return Buffer.concat([header, ...packets.map(pcapRecord)]);
}

function pcapRecord({ bytes, atMs = START_MS, length = bytes.length }: FilePacket): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(Math.floor(atMs / 1000), 0);
  header.writeUInt32LE(Math.round((atMs % 1000) * 1000), 4);
  header.writeUInt32LE(bytes.length, 8);
  header.writeUInt32LE(length, 12);
  return Buffer.concat([header, bytes]);
}

/** draft-ietf-opsawg-pcapng, one section, with an interface of every name. */
export function pcapngFile(interfaces: readonly string[], packets: readonly FilePacket[]): Buffer {
  const section = Buffer.alloc(16, 0xff);
  section.writeUInt32LE(0x1a2b3c4d, 0);
  section.writeUInt32LE(1, 4);
  return Buffer.concat([
    block(0x0a0d0d0a, section),
    ...interfaces.map((name) => block(1, Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), option(2, name)]))),
    ...packets.map((packet) => block(6, enhancedPacket(packet))),
  ]);
}

function enhancedPacket(packet: FilePacket): Buffer {
  const { bytes, atMs = START_MS, length = bytes.length, interfaceIndex = 0, direction } = packet;
  const header = Buffer.alloc(20);
  const micros = BigInt(Math.round(atMs * 1000));
  header.writeUInt32LE(interfaceIndex, 0);
  header.writeUInt32LE(Number(micros >> 32n), 4);
  header.writeUInt32LE(Number(micros & 0xffffffffn), 8);
  header.writeUInt32LE(bytes.length, 12);
  header.writeUInt32LE(length, 16);
  const flags = direction === undefined ? '' : option(2, Uint8Array.of(direction === 'in' ? 1 : 2, 0, 0, 0));
  return Buffer.concat([header, padded(bytes), ...(flags === '' ? [] : [flags])]);
}

function option(code: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const header = Buffer.alloc(4);
  header.writeUInt16LE(code, 0);
  header.writeUInt16LE(bytes.length, 2);
  return Buffer.concat([header, padded(bytes), Buffer.alloc(4)]);
}

function block(type: number, body: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(12 + body.length);
  const head = Buffer.alloc(4);
  head.writeUInt32LE(type);
  return Buffer.concat([head, length, body, length]);
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes], (bytes.length + 3) & ~3);
}
