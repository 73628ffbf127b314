/**
 * Published ports at run time. They are a setting of their endpoint (`publish`), so publishing changes the endpoint, and
 * whatever follows from such a change follows here too.
 */
import { parseEndpointPatch } from '../model/endpoint-request.js';
import { byName } from '../model/names.js';
import { RequestError } from '../model/problems.js';
import { formatPublished, parsePublished, publishedFrom } from '../model/published-port.js';
import type { Context } from './context.js';
import type { PortRequest, PortView } from './controller/lab-objects.js';
import { changeEndpoint } from './endpoints.js';
import { accepted } from './refusals.js';
import type { Transaction } from './transaction.js';

/** By name of the endpoint, then in the order in which they were published. `spec`: only this one, however it is written. */
export function listPorts(context: Context, endpoint?: string, spec?: string): PortView[] {
  const { state } = context;
  const wanted = spec === undefined ? null : canonical(spec);
  const records = endpoint === undefined ? [...state.endpoints.values()] : [state.endpoint(endpoint)];
  const specs = records.map(({ spec }) => spec).sort(byName);
  return specs.flatMap(({ name, network, ip, publish }) =>
    publish
      .filter((text) => wanted === null || text === wanted)
      .map((text) => ({ endpoint: name, network, spec: text, ...publishedFrom(text), addresses: ip })),
  );
}

export async function publishPort(context: Context, transaction: Transaction, request: PortRequest): Promise<void> {
  const { spec } = context.state.endpoint(request.endpoint);
  const text = canonical(request.spec);
  if (spec.publish.includes(text)) {
    throw new RequestError(
      'already-exists',
      `endpoint ${spec.name} publishes ${text} already`,
      'there is nothing to do',
    );
  }
  // As a patch, so that everything is checked that is checked of a list.
  await patchPublished(context, transaction, spec.name, [...spec.publish, text]);
}

/** Takes ports back; answers which. Throws not-found when there are none to take back. */
export async function unpublishPorts(
  context: Context,
  transaction: Transaction,
  which: { endpoint?: string; spec?: string },
): Promise<PortView[]> {
  const { endpoint, spec } = which;
  if (endpoint === undefined && spec === undefined) {
    throw new RequestError('invalid-request', 'nothing says which ports are meant', 'give endpoint, spec or both');
  }
  const gone = listPorts(context, endpoint, spec);
  if (gone.length === 0) {
    const what = spec === undefined ? `endpoint ${endpoint} publishes no port` : `${canonical(spec)} is not published`;
    throw new RequestError('not-found', what, '`weft port list` shows what is');
  }
  for (const name of new Set(gone.map(({ endpoint }) => endpoint))) {
    const { publish } = context.state.endpoint(name).spec;
    const kept = publish.filter((each) => !gone.some(({ endpoint, spec }) => endpoint === name && spec === each));
    await patchPublished(context, transaction, name, kept);
  }
  return gone;
}

async function patchPublished(
  context: Context,
  transaction: Transaction,
  name: string,
  publish: string[],
): Promise<void> {
  const { spec } = context.state.endpoint(name);
  await changeEndpoint(context, transaction, name, accepted(parseEndpointPatch({ publish }, spec)));
}

function canonical(text: string): string {
  const read = parsePublished(text);
  if (read.ok) return formatPublished(read.value);
  const problems = [{ path: 'spec', code: 'bad-port', message: read.reason }];
  throw new RequestError('invalid-request', `spec: ${read.reason}`, 'correct the port', problems);
}
