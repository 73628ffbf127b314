/** Reads a request for a compartment. Whether the namespace is there and fit to adopt is the engine's question. */
import type { CompartmentSpec } from './compartment.js';
import { FieldReader } from './field-reader.js';
import { quote } from './ip.js';
import { whyBadName } from './names.js';
import type { Parsed } from './network-request.js';
import type { Problem } from './problems.js';

/** include/linux/threads.h: PID_MAX_LIMIT. */
const PID_MAX = 4 * 1024 * 1024;
const PATH_MAX = 4095;

export function parseCompartmentRequest(request: unknown, path = ''): Parsed<CompartmentSpec> {
  const problems: Problem[] = [];
  const fields = new FieldReader(request, path, problems);
  const name = fields.requiredText('name');
  const badName = whyBadName(name);
  if (badName !== null && fields.has('name'))
    fields.fail('name', 'bad-name', `${quote(name)} cannot be a name: ${badName}`);
  const netns = fields.text('netns') ?? null;
  const badPath = netns === null ? null : whyBadPath(netns);
  if (badPath !== null) fields.fail('netns', 'bad-path', badPath);
  const pid = fields.has('pid') ? fields.integer('pid', 1, PID_MAX, 0) : null;
  if (netns !== null && pid !== null) fields.fail('pid', 'exclusive', 'give either netns or pid, not both');
  fields.finish();
  return problems.length === 0 ? { ok: true, value: { name, netns, pid } } : { ok: false, problems };
}

/** Where the namespace of a compartment is to be found. `ownedPath`: where weft keeps those that it makes. */
export function pathOfCompartment(spec: CompartmentSpec): string {
  if (spec.netns !== null) return spec.netns;
  return spec.pid === null ? `/run/netns/${spec.name}` : `/proc/${spec.pid}/ns/net`;
}

export function isOwned(spec: CompartmentSpec): boolean {
  return spec.netns === null && spec.pid === null;
}

function whyBadPath(path: string): string | null {
  if (!path.startsWith('/'))
    return `${quote(path)} is no absolute path; name the file of a namespace, e.g. /run/netns/blue`;
  if (path.length > PATH_MAX || path.includes('\0')) return `${quote(path)} cannot be a path`;
  return null;
}
