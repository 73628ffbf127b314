/**
 * Says what is wrong with a request: ajv over the schemas of schema/catalogue.ts, its errors turned into problems with
 * the path of the field and a reason that can be read. Nothing is coerced, removed or filled in.
 *
 * Heads up: load this file with `import()`. It pulls in ajv and TypeBox, which the start of the daemon need not wait for.
 */
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { printable } from '../lib/printable.js';
import type { Problem } from '../model/problems.js';
import { MAX_PROBLEMS } from './limits.js';
import { LATER_FIELDS, unsupportedType } from './network-types.js';
import { SCHEMAS, type SchemaName } from './schema/catalogue.js';

export interface Validator {
  /** Every problem (at most MAX_PROBLEMS); empty when `value` fits the schema. `at` is the path of `value` itself. */
  check(schema: SchemaName, value: unknown, at?: string): Problem[];
  /** Query values are text: where the schema wants a boolean or a number, text that is one becomes one. */
  typedQuery(schema: SchemaName, query: Record<string, unknown>): Record<string, unknown>;
}

/**
 * Required, not imported: once in some hundred starts on a busy machine, an imported `Ajv` was unbound and every request refused
 * until the next start. Presumably the import() met fastify, which requires ajv when it pleases; require() has no such moment.
 */
const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv');

export function createValidator(): Validator {
  const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, strictRequired: false, allowUnionTypes: true });
  ajv.addVocabulary(['x-says']);
  const compiled = new Map<SchemaName, ValidateFunction>();

  return {
    check(schema, value, at = '') {
      let validate = compiled.get(schema);
      if (validate === undefined) {
        validate = ajv.compile(SCHEMAS[schema]);
        compiled.set(schema, validate);
      }
      if (validate(value)) return [];
      const problems = problemsOf(validate.errors ?? [], at);
      return schema === 'NetworkPatch' ? problems.map((problem) => asFixed(problem, 'NetworkRequest')) : problems;
    },
    typedQuery(schema, query) {
      const properties = (SCHEMAS[schema] as { properties?: Record<string, { type?: string }> }).properties ?? {};
      return Object.fromEntries(
        Object.entries(query).map(([name, value]) => [name, typedValue(properties[name]?.type, value)]),
      );
    },
  };
}

/** A field that a patch does not know may be one that a network is made with: that is said, as the model says it of others. */
function asFixed(problem: Problem, whole: SchemaName): Problem {
  if (problem.code !== 'unknown-field' || !hasField(SCHEMAS[whole], problem.path.split('.'))) return problem;
  const message = 'cannot change while the network exists; delete it and create it again';
  return { ...problem, code: 'immutable', message };
}

function hasField(schema: object, [name = '', ...rest]: readonly string[]): boolean {
  const { properties = {} } = schema as { properties?: Record<string, object> };
  const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
  return field !== undefined && (rest.length === 0 || hasField(field, rest));
}

function typedValue(type: string | undefined, value: unknown): unknown {
  if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
  if (type === 'integer' && typeof value === 'string' && /^\d{1,15}$/.test(value)) return Number(value);
  if (type === 'number' && typeof value === 'string' && /^\d{1,9}(\.\d{1,9})?$/.test(value)) return Number(value);
  return value;
}

function problemsOf(errors: ErrorObject[], at: string): Problem[] {
  const problems: Problem[] = [];
  const told = new Set<string>();
  for (const error of withoutBranches(errors)) {
    const problem = problemOf(error, at);
    const key = `${problem.path} ${problem.message}`;
    if (told.has(key)) continue;
    told.add(key);
    problems.push(problem);
  }
  return withoutConsequences(problems).slice(0, MAX_PROBLEMS);
}

/**
 * A failed union leaves the errors of all its branches. When the value has the shape of exactly one branch, the errors
 * inside that branch are what the user wants to read; else the sentence of the union says it all.
 *
 * What is inside of a union stands directly in front of it, so each error is looked at as often as unions are around it: a body of
 * 1 MiB can have a hundred thousand errors, and nobody else is served meanwhile.
 */
function withoutBranches(errors: ErrorObject[]): ErrorObject[] {
  const isKept = errors.map(() => true);
  for (const [at, union] of errors.entries()) {
    if (union.keyword !== 'anyOf') continue;
    const branches = new Map<string, number[]>();
    for (let inside = at - 1; inside >= 0 && isInside(errors[inside]!, union); inside--) {
      if (!isKept[inside]) continue;
      isKept[inside] = false;
      const branch = branchOf(errors[inside]!, union);
      const others = branches.get(branch);
      if (others === undefined) branches.set(branch, [inside]);
      else others.push(inside);
    }
    const fitting = [...branches.values()].filter(
      (branch) => !branch.some((index) => isShapeError(errors[index]!, union)),
    );
    if (fitting.length !== 1) continue;
    for (const index of fitting[0]!) isKept[index] = true;
    isKept[at] = false;
  }
  return errors.filter((_, index) => isKept[index]);
}

function isInside(error: ErrorObject, union: ErrorObject): boolean {
  return error.schemaPath.startsWith(`${union.schemaPath}/`) && isWithin(error, union);
}

function isWithin(error: ErrorObject, union: ErrorObject): boolean {
  return error.instancePath === union.instancePath || error.instancePath.startsWith(`${union.instancePath}/`);
}

function branchOf(error: ErrorObject, union: ErrorObject): string {
  return error.schemaPath.slice(union.schemaPath.length + 1).split('/', 1)[0]!;
}

/** Whether it says that the value is of another kind altogether: a wrong type at the top, or a wrong discriminator. */
function isShapeError(error: ErrorObject, union: ErrorObject): boolean {
  if (error.instancePath === union.instancePath) return error.keyword === 'type' || error.keyword === 'const';
  const below = error.instancePath.slice(union.instancePath.length + 1);
  return error.keyword === 'const' && !below.includes('/');
}

/** An unsupported network type makes the fields of that type unknown: only the type is worth telling. */
function withoutConsequences(problems: Problem[]): Problem[] {
  const unsupported = problems.filter((problem) => problem.code === 'unsupported-type');
  const later = new Set(unsupported.map((problem) => parentOf(problem.path)));
  return problems.filter((problem) => problem.code !== 'unknown-field' || !later.has(parentOf(problem.path)));
}

function parentOf(path: string): string {
  return path.replace(/(^|\.)[A-Za-z0-9_-]+$/, '');
}

function problemOf(error: ErrorObject, at: string): Problem {
  const path = joinPath(at, pathOf(error.instancePath));
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'required':
      return {
        path: joinPath(path, step(String(params.missingProperty))),
        code: 'missing-field',
        message: 'is missing',
      };
    case 'additionalProperties':
      return unknownField(error, path, String(params.additionalProperty));
    case 'enum':
      return wrongChoice(error, path);
    default:
      return { path, code: PROBLEM_CODES[error.keyword] ?? 'invalid', message: sentenceOf(error) };
  }
}

const PROBLEM_CODES: Record<string, string> = {
  type: 'wrong-type',
  anyOf: 'wrong-type',
  const: 'unsupported-value',
  pattern: 'bad-format',
  minLength: 'bad-format',
  maxLength: 'bad-format',
  minimum: 'out-of-range',
  maximum: 'out-of-range',
  exclusiveMinimum: 'out-of-range',
  maxItems: 'too-many',
  maxProperties: 'too-many',
};

const TYPE_WORDS: Record<string, string> = {
  string: 'a string',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  null: 'null',
};

function sentenceOf(error: ErrorObject): string {
  const params = error.params as Record<string, unknown>;
  const says = (error.parentSchema as { 'x-says'?: string } | undefined)?.['x-says'];
  if (error.keyword === 'type') {
    if (params.type === 'integer' && typeof error.data === 'number')
      return `must be a whole number, not ${shown(error.data)}`;
    return `must be ${[params.type]
      .flat()
      .map((type) => TYPE_WORDS[String(type)] ?? type)
      .join(' or ')}`;
  }
  if (says !== undefined) return typeof error.data === 'string' ? `${says}; ${shown(error.data)} is not` : says;
  switch (error.keyword) {
    case 'minimum':
      return `must be at least ${params.limit}`;
    case 'maximum':
      return `must be at most ${params.limit}`;
    case 'exclusiveMinimum':
      return `must be more than ${params.limit}`;
    case 'maxItems':
    case 'maxProperties':
      return `has more than ${params.limit} entries`;
    case 'const':
      return `must be ${JSON.stringify(params.allowedValue)}`;
    case 'anyOf':
      return `must be ${[...new Set(branchWords(error))].join(' or ')}`;
    default:
      return error.message ?? 'is not valid';
  }
}

function branchWords(error: ErrorObject): string[] {
  const branches = (error.parentSchema as { anyOf?: { type?: string }[] } | undefined)?.anyOf ?? [];
  return branches.map((branch) => TYPE_WORDS[branch.type ?? ''] ?? 'something else');
}

function wrongChoice(error: ErrorObject, path: string): Problem {
  const allowed = (error.params as { allowedValues: unknown[] }).allowedValues;
  if (typeof error.data === 'string' && allowed.includes('private')) {
    return { path, code: 'unsupported-type', message: unsupportedType(error.data) };
  }
  return { path, code: 'unsupported-value', message: `must be ${allowed.join(' or ')}, not ${shown(error.data)}` };
}

function unknownField(error: ErrorObject, parent: string, name: string): Problem {
  const path = joinPath(parent, step(name));
  const schema = error.parentSchema as { properties?: Record<string, unknown>; patternProperties?: unknown };
  if (schema.patternProperties !== undefined) {
    return { path, code: 'bad-format', message: String(SCHEMAS.Name['x-says']).replace('must be', 'the name must be') };
  }
  if (LATER_FIELDS.includes(name)) {
    return { path, code: 'unknown-field', message: 'belongs to network types that are not in this version' };
  }
  const known = Object.keys(schema.properties ?? {});
  return {
    path,
    code: 'unknown-field',
    message: known.length > 0 ? `is unknown; known: ${known.join(', ')}` : 'is unknown',
  };
}

/** `/subnets/0` (RFC 6901) as `subnets[0]`. */
function pathOf(pointer: string): string {
  let path = '';
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path = joinPath(path, /^\d+$/.test(name) ? `[${name}]` : step(name));
  }
  return path;
}

/** The name of a field, or `["..."]` when it has characters that would make the path ambiguous. */
function step(name: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(name) ? name : `[${shown(name)}]`;
}

function joinPath(path: string, next: string): string {
  return path === '' || next === '' || next.startsWith('[') ? path + next : `${path}.${next}`;
}

/** A value as JSON, short and without anything that a terminal would act on. */
function shown(value: unknown): string {
  return printable(JSON.stringify(value) ?? String(value), 60);
}
