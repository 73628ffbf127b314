/**
 * A DNS server that stands for the rest of the world: on a loopback address of the test process, over UDP and TCP, with answers
 * that the test makes up.
 */
import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { decode } from 'dns-packet';

/** null: no answer. */
export type Respond = (question: Buffer, name: string, transport: 'udp' | 'tcp') => Buffer | null;

export class UpstreamDns {
  /** `udp NAME` or `tcp NAME` of every question so far. */
  readonly asked: string[] = [];
  port = 0;
  readonly #respond: Respond;
  #udp: UdpSocket | null = null;
  #tcp: Server | null = null;

  constructor(respond: Respond) {
    this.#respond = respond;
  }

  /** As a forwarder of a network. */
  get forwarder(): string {
    return `127.0.0.1#${this.port}`;
  }

  /** On the port that it had before, if it had one. */
  async open(): Promise<void> {
    const udp = createSocket('udp4');
    this.#udp = udp;
    udp.on('message', (message, { address, port }) => {
      const response = this.#answer(message, 'udp');
      if (response !== null) udp.send(response, port, address);
    });
    udp.bind(this.port, '127.0.0.1');
    await once(udp, 'listening');
    this.port = udp.address().port;
    this.#tcp = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (data) => {
        assert.equal(data.length, 2 + data.readUInt16BE(0), 'a question in one piece');
        const response = this.#answer(data.subarray(2), 'tcp');
        if (response === null) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(response.length);
        socket.end(Buffer.concat([length, response]));
      });
    });
    this.#tcp.listen(this.port, '127.0.0.1');
    await once(this.#tcp, 'listening');
    assert.equal((this.#tcp.address() as AddressInfo).port, this.port);
  }

  /** Nobody is there any more. */
  close(): void {
    this.#udp?.close();
    this.#tcp?.close();
    this.#udp = null;
    this.#tcp = null;
  }

  #answer(question: Buffer, transport: 'udp' | 'tcp'): Buffer | null {
    const name = decode(question).questions?.[0]?.name ?? '';
    this.asked.push(`${transport} ${name}`);
    return this.#respond(question, name, transport);
  }
}
