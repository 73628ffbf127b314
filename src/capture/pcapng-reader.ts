/**
 * Reads pcapng: any byte order, several sections and interfaces, any resolution of time. Blocks that are not frames or
 * interfaces are skipped. Read first: draft-ietf-opsawg-pcapng.
 *
 * Input may come from anywhere: nothing outside a block is read, and blocks have a limit.
 */
import type { FileFrame, FormatReader } from './file-frame.js';
import * as pcapng from './pcapng.js';

interface FileInterface {
  name: string | null;
  linkType: number;
  snaplen: number;
  /** Time stamps count units of 1/unitsPerSecond. */
  unitsPerSecond: bigint;
  /** To be added to them. */
  offsetSeconds: bigint;
}

const MAX_BLOCK_BYTES = 16 << 20;
/** In an obsolete packet block: how many were lost is not known. */
const LOST_UNKNOWN = 0xffff;
const MAX_INTERFACES = 65536;

export class PcapngReader implements FormatReader {
  error: string | null = null;
  private bytes = new Uint8Array(0);
  private view = new DataView(this.bytes.buffer);
  private at = 0;
  private end = 0;
  private isLittle = true;
  private interfaces: FileInterface[] = [];
  private readonly decoder = new TextDecoder();

  get pendingBytes(): number {
    return this.end - this.at;
  }

  push(chunk: Uint8Array): void {
    if (this.end + chunk.length > this.bytes.length) this.makeRoom(chunk.length);
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  next(): FileFrame | null {
    while (this.error === null) {
      const frame = this.nextBlock();
      if (frame !== 'skipped') return frame;
    }
    return null;
  }

  /** Moves what is left to the front, into larger memory when that does not do. */
  private makeRoom(bytes: number): void {
    const kept = this.pendingBytes;
    if ((kept + bytes) * 2 <= this.bytes.length) this.bytes.copyWithin(0, this.at, this.end);
    else {
      const grown = new Uint8Array(Math.max(65536, (kept + bytes) * 2));
      grown.set(this.bytes.subarray(this.at, this.end));
      this.bytes = grown;
      this.view = new DataView(grown.buffer);
    }
    this.at = 0;
    this.end = kept;
  }

  private fail(reason: string): null {
    this.error = reason;
    return null;
  }

  private uint16(at: number): number {
    return this.view.getUint16(at, this.isLittle);
  }

  private uint32(at: number): number {
    return this.view.getUint32(at, this.isLittle);
  }

  private nextBlock(): FileFrame | null | 'skipped' {
    const { at } = this;
    if (this.pendingBytes < pcapng.BLOCK_OVERHEAD_BYTES) return null;
    const type = this.uint32(at);
    // The type of a section header is a palindrome: it reads alike in both byte orders, and says which follows.
    if (type === pcapng.SECTION_HEADER) {
      this.isLittle = this.view.getUint32(at + 8, true) === pcapng.BYTE_ORDER_MAGIC;
      if (this.uint32(at + 8) !== pcapng.BYTE_ORDER_MAGIC) return this.fail('a section has no byte order');
    }
    const total = this.uint32(at + 4);
    if (total < pcapng.BLOCK_OVERHEAD_BYTES || total % 4 !== 0 || total > MAX_BLOCK_BYTES) {
      return this.fail(`a block claims ${total} bytes`);
    }
    if (this.pendingBytes < total) return null;
    if (this.uint32(at + total - 4) !== total) return this.fail('a block ends with another length than it begins with');
    this.at += total;
    const bodyAt = at + 8;
    const bodyEnd = at + total - 4;
    switch (type) {
      case pcapng.SECTION_HEADER:
        this.interfaces = [];
        return 'skipped';
      case pcapng.INTERFACE_DESCRIPTION:
        return this.readInterface(bodyAt, bodyEnd);
      case pcapng.ENHANCED_PACKET:
        return this.readPacket(bodyAt, bodyEnd, this.uint32(bodyAt), 0);
      case pcapng.PACKET:
        return this.readPacket(bodyAt, bodyEnd, this.uint16(bodyAt), this.uint16(bodyAt + 2));
      case pcapng.SIMPLE_PACKET:
        return this.readSimplePacket(bodyAt, bodyEnd);
      default:
        return 'skipped';
    }
  }

  private readInterface(at: number, end: number): null | 'skipped' {
    if (at + 8 > end) return this.fail('an interface block is too short');
    if (this.interfaces.length >= MAX_INTERFACES) return this.fail('there are too many interfaces');
    const described: FileInterface = {
      name: null,
      linkType: this.uint16(at),
      snaplen: this.uint32(at + 4),
      unitsPerSecond: 1_000_000n,
      offsetSeconds: 0n,
    };
    this.eachOption(at + 8, end, (code, valueAt, bytes) => {
      if (code === pcapng.IF_NAME) described.name = this.text(valueAt, bytes);
      if (code === pcapng.IF_TIME_OFFSET && bytes === 8) {
        described.offsetSeconds = this.view.getBigInt64(valueAt, this.isLittle);
      }
      if (code === pcapng.IF_TIME_RESOLUTION && bytes === 1) {
        const resolution = this.bytes[valueAt]!;
        const exponent = BigInt(resolution & 0x7f);
        described.unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** exponent : 2n ** exponent;
      }
    });
    this.interfaces.push(described);
    return 'skipped';
  }

  private readPacket(at: number, end: number, interfaceIndex: number, lost: number): FileFrame | null {
    if (at + 20 > end) return this.fail('a packet block is too short');
    const described = this.interfaces[interfaceIndex];
    if (described === undefined) return this.fail('a packet is of an interface that the file does not describe');
    const captured = this.uint32(at + 12);
    if (captured > end - at - 20) return this.fail('a packet claims more bytes than its block has');
    const frame = this.frameOf(described, at + 20, captured, this.uint32(at + 16));
    const units = (BigInt(this.uint32(at + 4)) << 32n) | BigInt(this.uint32(at + 8));
    const { unitsPerSecond, offsetSeconds } = described;
    frame.seconds = Number(units / unitsPerSecond + offsetSeconds);
    frame.lostBefore = lost === LOST_UNKNOWN ? 0 : lost;
    frame.nanoseconds = Number(((units % unitsPerSecond) * 1_000_000_000n) / unitsPerSecond);
    const optionsAt = at + 20 + ((captured + 3) & ~3);
    this.eachOption(optionsAt, end, (code, valueAt, bytes) => {
      if (code === pcapng.OPTION_COMMENT) frame.comment = this.text(valueAt, bytes);
      else if (code === pcapng.EPB_FLAGS && bytes === 4) {
        const direction = this.uint32(valueAt) & pcapng.DIRECTION_MASK;
        if (direction === pcapng.DIRECTION_INBOUND) frame.direction = 'inbound';
        if (direction === pcapng.DIRECTION_OUTBOUND) frame.direction = 'outbound';
      } else if (code === pcapng.EPB_DROP_COUNT && bytes === 8) {
        frame.lostBefore = Number(this.view.getBigUint64(valueAt, this.isLittle));
      }
    });
    return frame;
  }

  /** A length and bytes, of the first interface, at no time. */
  private readSimplePacket(at: number, end: number): FileFrame | null {
    const described = this.interfaces[0];
    if (at + 4 > end || described === undefined) return this.fail('a simple packet without an interface');
    const length = this.uint32(at);
    const snaplen = described.snaplen === 0 ? length : described.snaplen;
    return this.frameOf(described, at + 4, Math.min(length, snaplen, end - at - 4), length);
  }

  private frameOf({ name, linkType }: FileInterface, at: number, captured: number, length: number): FileFrame {
    return {
      interfaceName: name,
      seconds: 0,
      nanoseconds: 0,
      direction: null,
      comment: null,
      lostBefore: 0,
      linkType,
      bytes: this.bytes.slice(at, at + captured),
      length,
    };
  }

  private eachOption(at: number, end: number, visit: (code: number, valueAt: number, bytes: number) => void): void {
    let cursor = at;
    while (cursor + 4 <= end) {
      const code = this.uint16(cursor);
      const bytes = this.uint16(cursor + 2);
      if (code === pcapng.OPTION_END || cursor + 4 + bytes > end) return;
      visit(code, cursor + 4, bytes);
      cursor += 4 + ((bytes + 3) & ~3);
    }
  }

  /** Text of a file, without anything that a terminal would obey. */
  private text(at: number, bytes: number): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    return this.decoder.decode(this.bytes.subarray(at, at + bytes)).replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
  }
}
