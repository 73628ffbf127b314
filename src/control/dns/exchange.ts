/**
 * One question to one server: over UDP from a socket of its own, so that the port that the answer has to come to is as hard
 * to guess as the id (RFC 5452 section 9), or over TCP. The socket is connected: what comes from elsewhere is not heard, and
 * a server that is not there is noticed at once.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { UpstreamServer } from './resolv-conf.js';

const MAX_MESSAGE_BYTES = 65_535;

/**
 * Resolves with the first response that `accept` takes, as what `accept` made of it. Rejects with the error of the system
 * (ECONNREFUSED, ENETUNREACH, ...), or ETIMEDOUT after `timeoutMs`.
 */
export type Exchange = <T>(
  server: UpstreamServer,
  transport: 'udp' | 'tcp',
  message: Buffer,
  accept: (response: Buffer) => T | null,
  timeoutMs: number,
) => Promise<T>;

export const exchange: Exchange = (server, transport, message, accept, timeoutMs) =>
  transport === 'udp' ? overUdp(server, message, accept, timeoutMs) : overTcp(server, message, accept, timeoutMs);

function overUdp<T>(
  { address, port }: UpstreamServer,
  message: Buffer,
  accept: (response: Buffer) => T | null,
  timeoutMs: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const end = (settle: () => void) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      // An error after the end is nobody's business, but without a listener it would end the process.
      socket.on('error', () => {});
      socket.close();
      settle();
    };
    const timer = setTimeout(() => end(() => reject(timeout())), timeoutMs);
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('message', (response) => {
      // A response that is wrong may be forged, and the right one be on its way.
      const accepted = accept(response);
      if (accepted !== null) end(() => resolve(accepted));
    });
    socket.on('connect', () => socket.send(message));
    socket.connect(port, address);
  });
}

function overTcp<T>(
  { address, port }: UpstreamServer,
  message: Buffer,
  accept: (response: Buffer) => T | null,
  timeoutMs: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, address);
    const end = (settle: () => void) => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => end(() => reject(timeout())), timeoutMs);
    let received = Buffer.alloc(0);
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('end', () => end(() => reject(systemError('ECONNRESET'))));
    socket.on('connect', () => socket.write(withLength(message)));
    socket.on('data', (part) => {
      received = Buffer.concat([received, part]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const accepted = accept(received.subarray(2, 2 + received.readUInt16BE(0)));
      end(() => (accepted === null ? reject(systemError('EPROTO')) : resolve(accepted)));
    });
  });
}

/** RFC 1035 section 4.2.2: two bytes of length in front. */
export function withLength(message: Buffer): Buffer {
  const framed = Buffer.alloc(2 + Math.min(message.length, MAX_MESSAGE_BYTES));
  framed.writeUInt16BE(framed.length - 2, 0);
  message.copy(framed, 2);
  return framed;
}

function timeout(): Error {
  return systemError('ETIMEDOUT');
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}
