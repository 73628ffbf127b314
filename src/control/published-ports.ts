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

/** By name of the endpoint, then in the order in which they were published. */
export function listPorts(context: Context, endpoint?: string): PortView[] {
  const { state } = context;
  const records = endpoint === undefined ? [...state.endpoints.values()] : [state.endpoint(endpoint)];
  const specs = records.map(({ spec }) => spec).sort(byName);
  return specs.flatMap(({ name, network, ip, publish }) =>
    publish.map((spec) => ({ endpoint: name, network, spec, ...publishedFrom(spec), addresses: ip })),
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
  const text = which.spec === undefined ? null : canonical(which.spec);
  const gone = listPorts(context, which.endpoint).filter(({ spec }) => text === null || spec === text);
  if (gone.length === 0 || (text === null && which.endpoint === undefined)) {
    const what = text === null ? `endpoint ${which.endpoint ?? ''} publishes no port` : `${text} is not published`;
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
