/** Frames as lines of text, for the messages of failed tests: equal frames print equally, different ones differently. */
import { createHash } from 'node:crypto';
import { describeFrame } from '../../src/wire/describe.js';
import type { TestFrame, TestPeer, VnetFields } from './frame-builders.js';

/** Of a longer frame the headers are printed, and a digest of the rest. */
const PRINTED_BYTES = 128;

/** What it is, what its vnet header asks for, and its bytes. */
export function printFrame({ bytes, vnet, peer }: TestFrame): string {
  if (peer !== undefined) return `${printPeer(peer)} | ${printBytes(bytes)}`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const request = vnet === null ? '' : ` ${printVnet(vnet)}`;
  return `${describeFrame(view, 0, bytes.length, bytes.length, true)}${request} | ${printBytes(bytes)}`;
}

function printPeer({ address, port, segmentBytes = 0, trafficClass = 0 }: TestPeer): string {
  return `[${address} ${port} segments ${segmentBytes} class ${trafficClass}]`;
}

function printBytes(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, PRINTED_BYTES)).toString('hex');
  if (bytes.length <= PRINTED_BYTES) return head;
  return `${head}... ${bytes.length} bytes, sha1 ${createHash('sha1').update(bytes).digest('hex').slice(0, 12)}`;
}

function printVnet(vnet: VnetFields): string {
  const { flags, gsoType, headerLength, gsoSize, checksumStart, checksumOffset, outerTransport, innerNetwork } = vnet;
  const tunnel = outerTransport === undefined ? '' : ` tunnel ${outerTransport}/${innerNetwork}`;
  const checksum = `checksum ${checksumStart}+${checksumOffset}`;
  return `[flags ${flags} gso ${gsoType}/${gsoSize} header ${headerLength} ${checksum}${tunnel}]`;
}
