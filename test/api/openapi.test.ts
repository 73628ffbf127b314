/** /v1/openapi.json is a valid OpenAPI 3.1 document and says what the server does. */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { ERROR_CATALOGUE } from '../../src/api/errors.js';
import { ROUTES } from '../../src/api/routes/route-table.js';
import { ROLE_INSIDE } from '../../src/datapath/program.js';
import { ApiLab } from '../support/api-lab.js';
import { FlowLab } from '../support/flow-lab.js';

// biome-ignore lint/suspicious/noExplicitAny: the document is walked as a foreign program sees it
type Json = any;

describe('API: OpenAPI document', () => {
  let lab: ApiLab;
  let document: Json;
  let flow: string;

  before(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    await lab.controller.createNetwork({ name: 'front', type: 'nat', subnets: ['10.90.0.0/24'], uplink: 'none' });
    const flows = new FlowLab(lab.control);
    flows.adopt();
    flows.open(lab.control.datapath.program.networkRole.indexOf(ROLE_INSIDE), {
      inside: '10.90.0.2:1',
      remote: '203.0.113.9:2',
    });
    flow = (await lab.call('GET', '/v1/flows')).body[0].id;
    document = (await lab.call('GET', '/v1/openapi.json')).body;
  });

  after(() => lab.close());

  it('describes every route, and nothing else', () => {
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = ROUTES.map((route) => `${route.method} ${route.path.replace(':name', '{name}')}`);
    assert.deepEqual(described.sort(), served.sort());
    const operations = ROUTES.map((route) => route.operation);
    assert.equal(new Set(operations).size, operations.length, 'operationIds are unique');
  });

  it('has no reference that leads nowhere, and no component that nothing refers to', () => {
    const references = new Set<string>();
    walk(document, (value) => {
      if (typeof value.$ref === 'string') references.add(value.$ref);
    });
    const components = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    assert.deepEqual(
      [...references].filter((reference) => !components.includes(reference)),
      [],
    );
    assert.deepEqual(
      components.filter((component) => !references.has(component)),
      [],
    );
  });

  it('has schemas that are JSON Schema 2020-12', () => {
    const ajv = new Ajv2020({ strict: false });
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      assert.ok(ajv.validateSchema(schema as object), `${name}: ${JSON.stringify(ajv.errors)}`);
    }
  });

  it('declares every parameter of a path', () => {
    for (const [path, methods] of Object.entries<Json>(document.paths)) {
      for (const operation of Object.values<Json>(methods)) {
        const declared = operation.parameters.filter((parameter: Json) => parameter.in === 'path');
        assert.deepEqual(
          declared.map((parameter: Json) => parameter.name),
          path.includes('{name}') ? ['name'] : [],
          path,
        );
      }
    }
  });

  it('describes the answers of the server truthfully', async () => {
    const ajv = new Ajv2020({ strict: false });
    const check = (schema: Json, value: unknown, what: string) => {
      const validate = ajv.compile({ ...schema, components: document.components });
      assert.ok(validate(value), `${what}: ${JSON.stringify(validate.errors)} in ${JSON.stringify(value)}`);
    };
    let checked = 0;
    for (const [path, methods] of Object.entries<Json>(document.paths)) {
      const content = methods.get?.responses['200'].content['application/json'];
      if (content === undefined) continue;
      const names: Record<string, string> = { networks: 'back', compartments: 'web', flows: flow };
      const name = names[path.split('/')[2]!] ?? 'web-back';
      const answer = await lab.call('GET', path.replace('{name}', name));
      if (path.includes('captures/')) continue;
      assert.equal(answer.status, 200, path);
      check(content.schema, answer.body, path);
      checked++;
    }
    assert.ok(checked > 12);
    const refused = await lab.call('GET', '/v1/networks/nowhere');
    check(
      document.paths['/v1/networks/{name}'].get.responses['404'].content['application/problem+json'].schema,
      refused.body,
      '404',
    );
  });

  it('names every code of the catalogue that a route can refuse with', () => {
    const text = JSON.stringify(document);
    // These are answered before a route is found, or after every route: the document has no place for them.
    const outside = ['malformed-http', 'unknown-route', 'method-not-allowed', 'request-timeout', 'headers-too-large'];
    const missing = Object.keys(ERROR_CATALOGUE).filter((code) => !text.includes(`\`${code}\``));
    assert.deepEqual(missing.sort(), outside.sort());
  });
});

function walk(value: Json, visit: (value: Json) => void): void {
  if (typeof value !== 'object' || value === null) return;
  visit(value);
  for (const child of Object.values(value)) walk(child, visit);
}
