/** From what came over HTTP to what a handler gets: the body as JSON, the query with its types, all of it validated. */
import { onDemand } from '../lib/on-demand.js';
import { printable } from '../lib/printable.js';
import { type Problem, RequestError } from '../model/problems.js';
import { HttpError } from './errors.js';
import type { Route } from './route.js';
import type { Validator } from './validation.js';

/** The validator, loaded when it is first needed (it takes longer to load than the rest of the API). */
export const loadValidator = onDemand(async (): Promise<Validator> => {
  const { createValidator } = await import('./validation.js');
  return createValidator();
});

/** JSON in UTF-8, or undefined for no body at all. Throws an HttpError. */
export function parseBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? printable(error.message, 160) : 'it is not UTF-8';
    throw new HttpError('malformed-json', `the body is not JSON: ${reason}`, 'send one JSON object in UTF-8');
  }
}

/** The name, query and body of a request, or a refusal with every problem of all three. */
export async function validatedInput(
  route: Route,
  raw: { name: string | undefined; query: Record<string, unknown>; body: unknown },
): Promise<{ name: string; query: unknown; body: unknown }> {
  const needsNoCheck = raw.name === undefined && route.body === null && isBlank(raw.query) && isBlank(raw.body);
  if (needsNoCheck) return { name: '', query: {}, body: undefined };

  const validator = await loadValidator();
  const query = validator.typedQuery(route.query ?? 'Empty', raw.query);
  const problems: Problem[] = [
    ...(raw.name === undefined ? [] : validator.check('Name', raw.name, 'name')),
    ...validator.check(route.query ?? 'Empty', query, 'query').map(queryProblem),
    ...bodyProblems(validator, route, raw.body),
  ];
  if (problems.length > 0) throw invalidRequest(problems);
  return { name: raw.name ?? '', query, body: raw.body };
}

function bodyProblems(validator: Validator, route: Route, body: unknown): Problem[] {
  if (route.body === null) return isBlank(body) ? [] : validator.check('Empty', body);
  return validator
    .check(route.body, body === undefined ? null : body)
    .map((problem) =>
      body === undefined ? { ...problem, code: 'missing-field', message: 'the request needs a JSON body' } : problem,
    );
}

function invalidRequest(problems: Problem[]): RequestError {
  const told = problems.slice(0, 3).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  const more = problems.length > 3 ? `; and ${problems.length - 3} more` : '';
  return new RequestError('invalid-request', told.join('; ') + more, 'correct the request', problems);
}

/** `query.since` is how the path of a query parameter is built; users know it as `since`. */
function queryProblem(problem: Problem): Problem {
  return { ...problem, path: problem.path.replace(/^query\.?/, '') };
}

function isBlank(value: unknown): boolean {
  return value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
}
