/** The catalogue of refusals and the code agree: every code is used somewhere, and none is used that it does not have. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_CATALOGUE, type ErrorCode, problemDocument } from '../../src/api/errors.js';

describe('API: catalogue of refusals', () => {
  const codes = Object.keys(ERROR_CATALOGUE) as ErrorCode[];

  it('has a title, a status and an explanation for every code', () => {
    for (const code of codes) {
      const { status, title, when } = ERROR_CATALOGUE[code];
      assert.match(code, /^[a-z]+(-[a-z]+)*$/);
      assert.ok(status >= 400 && status < 600, code);
      assert.match(title, /^[A-Z].*[^.]$/);
      assert.match(when, /^[A-Z].*\.$/);
    }
  });

  it('makes problem documents with the members of RFC 9457', () => {
    const document = problemDocument('in-use', 'network back has 1 endpoint', 'delete it first');
    assert.deepEqual(document, {
      type: 'about:blank',
      code: 'in-use',
      title: 'The object is in use',
      status: 409,
      detail: 'network back has 1 endpoint',
      remedy: 'delete it first',
      problems: [],
    });
  });

  it('has no code that nothing answers with', () => {
    const source = sources().join('\n');
    const unused = codes.filter((code) => !source.includes(`'${code}'`));
    assert.deepEqual(unused, []);
  });

  it('has every code that a refusal is made with', () => {
    const used = sources().flatMap((text) =>
      [...text.matchAll(/new (?:RequestError|HttpError)\(\s*'([a-z-]+)'/g)].map((match) => match[1]!),
    );
    assert.ok(used.length > 10);
    assert.deepEqual(
      [...new Set(used)].filter((code) => !codes.includes(code as ErrorCode)),
      [],
    );
  });
});

/** The TypeScript sources but for the catalogue itself. */
function sources(): string[] {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, 'package.json'))) root = dirname(root);
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(
      (file) => file.endsWith('.ts') && file !== join('api', 'errors.ts') && file !== join('model', 'problems.ts'),
    )
    .map((file) => readFileSync(join(root, 'src', file), 'utf8'));
}
