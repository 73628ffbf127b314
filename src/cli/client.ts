/**
 * Talks to the daemon: HTTP over its Unix socket, one connection per request. Failures become `CliError`s: a refusal with
 * what the daemon says, a socket that does not answer with what to do about that.
 */
import { readFileSync, statSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Readable } from 'node:stream';
import type { ProblemDocument } from '../api/errors.js';
import { CliError } from './failure.js';

/** The daemon may be busy with a large lab; longer silence than this is a fault. */
const ANSWER_TIMEOUT_MS = 120_000;

export interface Call {
  /** What does not work when it fails, e.g. `cannot create network front`. */
  what: string;
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  body?: unknown;
  accept?: string;
}

export interface Client {
  readonly socketPath: string;
  /** The parsed answer; undefined where there is none. */
  call<Answer>(call: Call): Promise<Answer>;
  /**
   * Sends `input` as the body, as fast as the daemon takes it, and returns the parsed answer, which may come before the end of
   * the input. There is no time limit. `input` is closed in the end.
   */
  upload<Answer>(call: Call, input: Readable): Promise<Answer>;
  /** The answer while it comes; without a time limit. */
  open(call: Call): Promise<IncomingMessage>;
}

export function createClient(socketPath: string): Client {
  return {
    socketPath,
    async call<Answer>(call: Call) {
      const response = await send(socketPath, call, ANSWER_TIMEOUT_MS);
      const text = await readText(response, call);
      return (text === '' ? undefined : JSON.parse(text)) as Answer;
    },
    async upload<Answer>(call: Call, input: Readable) {
      const text = await sendUpload(socketPath, call, input);
      return JSON.parse(text) as Answer;
    },
    open: (call) => send(socketPath, call, 0),
  };
}

/** `/v1/networks/my%20net`: names go into paths escaped, whatever they are. */
export function objectPath(collection: string, name: string, rest = ''): string {
  return `/v1/${collection}/${encodeURIComponent(name)}${rest}`;
}

async function send(socketPath: string, call: Call, timeoutMs: number): Promise<IncomingMessage> {
  const body = call.body === undefined ? null : Buffer.from(JSON.stringify(call.body));
  const headers = {
    host: 'weft',
    accept: call.accept ?? 'application/json',
    ...(body === null ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
  };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request({ socketPath, method: call.method, path: call.path, headers, agent: false }, resolve);
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    outgoing.on('error', (error) => reject(unreachable(socketPath, call, error)));
    outgoing.end(body ?? undefined);
  });
  if (response.statusCode! >= 400) throw refusal(call, response.statusCode!, await readText(response, call));
  return response;
}

async function sendUpload(socketPath: string, call: Call, input: Readable): Promise<string> {
  const headers = { host: 'weft', accept: 'application/json', 'content-type': 'application/octet-stream' };
  // The answer may come in the middle of the body. Were the connection to be closed behind it, as without an agent, what is
  // still written would break it before the answer is read.
  const agent = new Agent({ keepAlive: true });
  const outgoing = request({ socketPath, method: call.method, path: call.path, headers, agent });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('response', resolve);
      outgoing.on('error', (error) => reject(unreachable(socketPath, call, error)));
      input.on('error', (error) => reject(new CliError(call.what, error.message, 'give a file that can be read')));
      input.pipe(outgoing);
    });
    input.unpipe(outgoing);
    const text = await readText(response, call);
    if (response.statusCode! >= 400) throw refusal(call, response.statusCode!, text);
    return text;
  } finally {
    input.destroy();
    outgoing.destroy();
    agent.destroy();
  }
}

async function readText(response: IncomingMessage, call: Call): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  try {
    for await (const part of response) text += part;
  } catch (error) {
    throw new CliError(call.what, `the answer broke off: ${(error as Error).message}`, 'see `weft status`');
  }
  return text;
}

function refusal(call: Call, status: number, text: string): CliError {
  try {
    const { detail, remedy, problems } = JSON.parse(text) as ProblemDocument;
    const error = new CliError(call.what, detail, remedy);
    error.problemCodes = problems.map(({ code }) => code);
    return error;
  } catch {
    return new CliError(call.what, `the answer has status ${status} and no reason`, 'is this the socket of weftd?');
  }
}

function unreachable(socketPath: string, call: Call, error: NodeJS.ErrnoException): CliError {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTDIR':
      return new CliError(
        `weftd does not answer on ${socketPath}`,
        error.code === 'ECONNREFUSED' ? 'its daemon is gone' : 'there is no such socket',
        'start it as root: `weftd`, or name its socket with --socket or WEFT_SOCKET',
      );
    case 'EACCES':
    case 'EPERM':
      return new CliError(`permission denied on ${socketPath}`, ...permissionAdvice(socketPath));
    case 'ECONNRESET':
    case 'EPIPE':
      return new CliError(call.what, 'weftd closed the connection', 'see its log and `weft status`');
    default:
      return new CliError(call.what, error.message, `is weftd well? its socket is ${socketPath}`);
  }
}

/** Why and what to do, with the group that may use the socket. */
function permissionAdvice(socketPath: string): [string, string] {
  const group = groupOf(socketPath);
  if (group === null || group === 'root') return ['only root may talk to this weftd', 'run the command with sudo'];
  return [
    `only root and the group ${group} may talk to weftd`,
    `run the command with sudo, or join the group: sudo usermod -aG ${group} "$USER", then log in again`,
  ];
}

function groupOf(path: string): string | null {
  try {
    const { gid } = statSync(path);
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((entry) => entry.split(':')[2] === String(gid));
    return line?.split(':')[0] ?? `with id ${gid}`;
  } catch {
    return null;
  }
}
