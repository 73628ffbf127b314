/**
 * The other end of datagrams, one row per message, in the form that the native addon reads and writes (struct peer of
 * native/burst.h; PEER_BYTES there): who sent what was received, who gets what is sent.
 *
 *   0         2       4        8                    24               26        27      28
 *  +---------+-------+--------+--------------------+----------------+---------+-------+----------+
 *  | family  | port  | scope  | address (16)       | segment bytes  | traffic | flags | reserved |
 *  |         |       |        | IPv4: the first 4  |                | class   |       |          |
 *  +---------+-------+--------+--------------------+----------------+---------+-------+----------+
 *
 * Machine byte order, but addresses as on the wire. `segment bytes`: payload of every datagram but the last when several are joined
 * in one message (UDP_GRO, UDP_SEGMENT), 0 = the message is one datagram. `traffic class`: TOS byte of the outer header.
 */
import * as words from '../wire/address-words.js';
import type { Slab } from './slab.js';

export const PEER_ROW_BYTES = 32;
const ROW_BYTES = PEER_ROW_BYTES;
const ROW_WORDS = ROW_BYTES / 4;
const PORT_AT = 2;
const SCOPE_AT = 4;
const ADDRESS_AT = 8;
const SEGMENT_AT = 24;
const CLASS_AT = 26;
const FLAGS_AT = 27;

/** In `flags` of a row to send: the row is more of the message of the row before. */
export const PEER_CONTINUES = 1;

/** Whether numbers of more than one byte have their lowest byte first on this machine. */
const IS_LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export class PeerRows {
  /** What the addon gets. */
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(slab: Slab, rows: number) {
    const column = slab.takeColumn(rows * ROW_WORDS);
    this.bytes = new Uint8Array(slab.buffer, column.byteOffset, column.byteLength);
    this.view = new DataView(slab.buffer, column.byteOffset, column.byteLength);
  }

  /** 4 or 6; 0 = nobody. */
  family(row: number): number {
    return this.view.getUint16(row * ROW_BYTES, IS_LITTLE);
  }

  port(row: number): number {
    return this.view.getUint16(row * ROW_BYTES + PORT_AT, IS_LITTLE);
  }

  /** Four words (wire/address-words.ts). */
  readAddress(row: number, to: Int32Array, toAt: number): void {
    words.read(this.view, row * ROW_BYTES + ADDRESS_AT, this.family(row), to, toAt);
  }

  segmentBytes(row: number): number {
    return this.view.getUint16(row * ROW_BYTES + SEGMENT_AT, IS_LITTLE);
  }

  trafficClass(row: number): number {
    return this.view.getUint8(row * ROW_BYTES + CLASS_AT);
  }

  flags(row: number): number {
    return this.view.getUint8(row * ROW_BYTES + FLAGS_AT);
  }

  /** Fills a whole row; the address is four words. `scope`: interface index of a link-local IPv6 address, else 0. */
  write(
    row: number,
    family: number,
    port: number,
    scope: number,
    address: Int32Array,
    addressAt: number,
    segmentBytes: number,
    trafficClass: number,
    flags: number,
  ): void {
    const { view } = this;
    const at = row * ROW_BYTES;
    view.setUint16(at, family, IS_LITTLE);
    view.setUint16(at + PORT_AT, port, IS_LITTLE);
    view.setUint32(at + SCOPE_AT, scope, IS_LITTLE);
    words.write(view, at + ADDRESS_AT, family, address, addressAt);
    view.setUint16(at + SEGMENT_AT, segmentBytes, IS_LITTLE);
    view.setUint8(at + CLASS_AT, trafficClass);
    view.setUint8(at + FLAGS_AT, flags);
    view.setInt32(at + 28, 0);
  }

  /** The message that row `row` begins is cut into datagrams of so many bytes. */
  setSegmentBytes(row: number, segmentBytes: number): void {
    this.view.setUint16(row * ROW_BYTES + SEGMENT_AT, segmentBytes, IS_LITTLE);
  }

  /** Makes the row more of the message of the row before, or one of its own again. Everything else in it stays. */
  setContinues(row: number, continues: boolean): void {
    this.view.setUint8(row * ROW_BYTES + FLAGS_AT, continues ? PEER_CONTINUES : 0);
  }
}
