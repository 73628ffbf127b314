/**
 * The control API over the real controller and a machine without a kernel (control-lab.ts): requests without a socket with
 * `call`, or over a real one after `listen`. `override` replaces single methods of the controller, for what only a busy
 * machine would do (captures that never end, thousands of events).
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Limits } from '../../src/api/limits.js';
import { type ApiServer, createApiServer } from '../../src/api/server.js';
import { claimSocketPath, listenOn } from '../../src/api/socket-file.js';
import type { Controller } from '../../src/control/controller.js';
import { type ControlLab, makeStateDirectory, startLab } from './control-lab.js';

export interface Answer {
  status: number;
  headers: Record<string, unknown>;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are asserted on field by field, as a client sees them
  body: any;
}

export class ApiLab {
  readonly control: ControlLab;
  readonly server: ApiServer;
  readonly directory: string;
  /** What the server wrote to its log, warnings and errors only. */
  readonly log: string[] = [];
  #sockets: Socket[] = [];
  #removeSocket: (() => void) | null = null;
  #removeDirectory: () => Promise<void>;

  private constructor(
    control: ControlLab,
    server: ApiServer,
    directory: string,
    log: string[],
    remove: () => Promise<void>,
  ) {
    this.control = control;
    this.server = server;
    this.directory = directory;
    this.log = log;
    this.#removeDirectory = remove;
  }

  static async start(options: { override?: Partial<Controller>; limits?: Partial<Limits> } = {}): Promise<ApiLab> {
    const { directory, remove } = await makeStateDirectory();
    const control = await startLab(directory);
    const controller = Object.assign(Object.create(control.controller) as Controller, options.override);
    const log: string[] = [];
    const write = (details: object, message: string) => void log.push(`${message} ${JSON.stringify(details)}`);
    const server = await createApiServer({
      controller,
      log: { debug: () => {}, warn: write, error: write },
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    return new ApiLab(control, server, directory, log, remove);
  }

  get controller(): Controller {
    return this.control.controller;
  }

  get socketPath(): string {
    return join(this.directory, 'weft.sock');
  }

  /** One request without a socket. A body that is no string is sent as JSON. */
  async call(method: string, url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const payload = body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await this.server.app.inject({
      method: method as 'GET',
      url,
      headers: { ...type, ...headers },
      ...payload,
    });
    return answerOf(response.statusCode, response.headers, response.body);
  }

  /** A request that must be refused; returns the problem document. */
  async refused(method: string, url: string, body?: unknown, headers: Record<string, string> = {}) {
    const answer = await this.call(method, url, body, headers);
    assert.equal(answer.headers['content-type'], 'application/problem+json', answer.text);
    assert.equal(answer.body.status, answer.status);
    assert.equal(answer.body.type, 'about:blank');
    return answer.body;
  }

  /** A network, a compartment and an endpoint, `back`, `web` and `web-back`. */
  async populate(): Promise<void> {
    await this.controller.createNetwork({ name: 'back', type: 'private', subnets: ['10.81.0.0/24', 'fd00:81::/64'] });
    await this.controller.createCompartment({ name: 'web' });
    await this.controller.createEndpoint({ name: 'web-back', network: 'back', compartment: 'web', ip: '10.81.0.10' });
  }

  async listen(): Promise<void> {
    await claimSocketPath(this.socketPath);
    this.#removeSocket = await listenOn(this.server.http, this.socketPath);
  }

  /** A connection that sends what the test says and keeps what comes back; closed with the lab. */
  async open(): Promise<RawClient> {
    const socket = connect(this.socketPath);
    this.#sockets.push(socket);
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#removeSocket?.();
    await this.server.stop();
    await this.control.close();
    await this.#removeDirectory();
  }
}

export class RawClient {
  readonly socket: Socket;
  received = '';
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  send(text: string): void {
    this.socket.write(text);
  }

  /** Resolves with what was received until the other side closed. */
  async untilClosed(): Promise<string> {
    await eventually(() => this.isClosed, 'the server closes the connection');
    return this.received;
  }
}

/** Waits until the condition holds; fails with `what` after the time. */
export async function eventually(condition: () => boolean, what: string, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function answerOf(status: number, headers: Record<string, unknown>, text: string): Answer {
  const type = String(headers['content-type'] ?? '');
  return { status, headers, text, body: text !== '' && /json\b/.test(type) ? JSON.parse(text) : undefined };
}
