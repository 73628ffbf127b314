/**
 * Reads a lab file: every object of it as if it had been asked for by itself, and every problem of all of them at once.
 */
import type { CompartmentSpec } from '../../model/compartment.js';
import { parseCompartmentRequest } from '../../model/compartment-request.js';
import { type EndpointWish, parseEndpointRequest } from '../../model/endpoint-request.js';
import { FieldReader } from '../../model/field-reader.js';
import type { NetworkSpec } from '../../model/network.js';
import { type Parsed, parseNetworkRequest } from '../../model/network-request.js';
import { type OverlayDefaults, withOverlayDefaults } from '../../model/overlay-defaults.js';
import { type Problem, RequestError } from '../../model/problems.js';
import { readCaptureRequest } from '../captures/capture-request.js';
import type { CaptureRequest } from '../controller/captures.js';

/** By name, in the order of the file. */
export interface ParsedLab {
  networks: Map<string, NetworkSpec>;
  compartments: Map<string, CompartmentSpec>;
  endpoints: Map<string, EndpointWish>;
  captures: Map<string, CaptureRequest & { name: string }>;
}

export const LAB_VERSION = 1;

/** `defaults`: for what overlay networks leave out. */
export function parseLab(lab: unknown, defaults: OverlayDefaults = {}): Parsed<ParsedLab> {
  const problems: Problem[] = [];
  const fields = new FieldReader(lab, '', problems);
  if (!fields.has('weft')) fields.fail('weft', 'missing', `it is required: the version of the file, ${LAB_VERSION}`);
  else fields.integer('weft', LAB_VERSION, LAB_VERSION, LAB_VERSION);
  const value: ParsedLab = {
    networks: readSection(fields, 'networks', (body, path) =>
      parseNetworkRequest(withOverlayDefaults(body, defaults), path),
    ),
    compartments: readSection(fields, 'compartments', (body, path) => parseCompartmentRequest(body, path)),
    endpoints: readSection(fields, 'endpoints', (body, path) => parseEndpointRequest(body, path)),
    captures: readSection(fields, 'captures', (body, path) => parseCapture(body, path)),
  };
  fields.finish();
  return problems.length === 0 ? { ok: true, value } : { ok: false, problems };
}

function readSection<T>(
  fields: FieldReader,
  section: string,
  parse: (body: Record<string, unknown>, path: string) => Parsed<T>,
): Map<string, T> {
  const found = new Map<string, T>();
  for (const [name, body] of fields.entries(section)) {
    const path = `${section}.${name}`;
    if (body !== null && (typeof body !== 'object' || Array.isArray(body))) {
      fields.problems.push({ path, code: 'wrong-type', message: 'an object is needed' });
    } else if (body !== null && Object.hasOwn(body, 'name')) {
      fields.problems.push({ path: `${path}.name`, code: 'unknown-field', message: 'the name is the key in the file' });
    } else {
      const parsed = parse({ ...body, name }, path);
      if (parsed.ok) found.set(name, parsed.value);
      else fields.problems.push(...parsed.problems);
    }
  }
  return found;
}

/** Field by field; whether the filter can be compiled and the file written turns out when the capture starts. */
function parseCapture(body: Record<string, unknown>, path: string): Parsed<CaptureRequest & { name: string }> {
  const request = body as unknown as CaptureRequest & { name: string };
  try {
    readCaptureRequest(request, true);
    return { ok: true, value: request };
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    return { ok: false, problems: error.problems.map((each) => ({ ...each, path: `${path}.${each.path}` })) };
  }
}
