/**
 * The DNS server of one gateway address: a UDP and a TCP socket that were opened in the service namespace, bound to the
 * network's device. TCP is bounded in connections, in questions at a time and in what waits to be sent (RFC 7766).
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { withLength } from './exchange.js';
import type { Responder } from './responder.js';

const MAX_CONNECTIONS = 64;
const MAX_CONNECTIONS_OF_CLIENT = 8;
/** A question has one name and perhaps EDNS. */
const MAX_QUERY_BYTES = 4096;
/** Questions of one connection that are being answered; more wait in the kernel. */
const MAX_AT_ONCE = 16;
/** RFC 7766 section 6.2.3: some seconds. */
const IDLE_MS = 10_000;
/** A client that does not read its answers is not worth more memory. */
const MAX_UNSENT_BYTES = 256 * 1024;

/** Descriptors of bound sockets, which the listener closes. */
export interface ListenerSockets {
  address: string;
  udp: number;
  tcp: number;
}

export class Listener {
  private readonly responder: Responder;
  private readonly udp: UdpSocket;
  private readonly tcp: Server;
  private readonly connections = new Set<Socket>();
  /** By client as the responder tells them apart: a station that takes many addresses does not take the connections of others. */
  private readonly ofClient = new Map<string, number>();

  /** `onError`: a socket failed; the others go on. */
  constructor(sockets: ListenerSockets, responder: Responder, onError: (error: Error) => void) {
    this.responder = responder;
    this.udp = createSocket(sockets.address.includes(':') ? 'udp6' : 'udp4');
    this.udp.on('error', onError);
    this.udp.on('message', (message, { address, port }) => {
      // RFC 768: a sender with port 0 expects nothing, and nothing can be sent there.
      if (port === 0) this.responder.disregard();
      else this.answer(message, address, port).catch(onError);
    });
    this.udp.bind({ fd: sockets.udp });
    this.tcp = createServer({ noDelay: true }, (socket) => this.serve(socket, onError));
    this.tcp.on('error', onError);
    this.tcp.listen({ fd: sockets.tcp });
  }

  private isClosed = false;

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.udp.close();
    this.tcp.close();
    for (const socket of this.connections) socket.destroy();
  }

  private async answer(message: Buffer, address: string, port: number): Promise<void> {
    const response = await this.responder.respond(message, withoutZone(address), 'udp');
    if (response !== null && !this.isClosed) this.udp.send(response, port, address, () => {});
  }

  private serve(socket: Socket, onError: (error: Error) => void): void {
    const client = withoutZone(socket.remoteAddress ?? '');
    const bucket = this.responder.bucketOf(client);
    const count = (this.ofClient.get(bucket) ?? 0) + 1;
    socket.on('error', () => {});
    if (this.connections.size >= MAX_CONNECTIONS || count > MAX_CONNECTIONS_OF_CLIENT) {
      socket.destroy();
      return;
    }
    this.connections.add(socket);
    this.ofClient.set(bucket, count);
    socket.on('close', () => {
      this.connections.delete(socket);
      const left = this.ofClient.get(bucket)! - 1;
      if (left > 0) this.ofClient.set(bucket, left);
      else this.ofClient.delete(bucket);
    });
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    converse(socket, (query) => this.responder.respond(query, client, 'tcp'), onError);
  }
}

/** Questions may follow each other without waiting, and are answered as they get ready (RFC 7766 section 6.2.1.1). */
function converse(
  socket: Socket,
  respond: (query: Buffer) => Promise<Buffer | null>,
  onError: (error: Error) => void,
): void {
  let received: Buffer = Buffer.alloc(0);
  let atOnce = 0;
  const takeIn = () => {
    while (received.length >= 2 && atOnce < MAX_AT_ONCE) {
      const length = received.readUInt16BE(0);
      if (length > MAX_QUERY_BYTES) {
        socket.destroy();
        return;
      }
      if (received.length < 2 + length) break;
      const query = received.subarray(2, 2 + length);
      received = received.subarray(2 + length);
      atOnce++;
      respond(query).then((response) => {
        atOnce--;
        if (socket.destroyed) return;
        if (response === null || socket.writableLength > MAX_UNSENT_BYTES) socket.destroy();
        else socket.write(withLength(response));
        takeIn();
      }, onError);
    }
    if (atOnce >= MAX_AT_ONCE) socket.pause();
    else if (socket.isPaused()) socket.resume();
  };
  socket.on('data', (part) => {
    received = received.length === 0 ? part : Buffer.concat([received, part]);
    takeIn();
  });
}

/** `fe80::1%tap0` -> `fe80::1`. */
function withoutZone(address: string): string {
  const zone = address.indexOf('%');
  return zone < 0 ? address : address.slice(0, zone);
}
