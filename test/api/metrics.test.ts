/** /metrics is Prometheus text as its format demands, and has the numbers of the daemon. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';

const SAMPLE = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+)$/;

describe('API: metrics', () => {
  let lab: ApiLab;

  before(async () => {
    lab = await ApiLab.start();
    await lab.populate();
  });

  after(() => lab.close());

  it('every sample belongs to a family with a help and a type, and stands once', async () => {
    const answer = await lab.call('GET', '/metrics');
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
    assert.ok(answer.text.endsWith('\n'));
    const types = new Map<string, string>();
    const seen = new Set<string>();
    let last = '';
    for (const line of answer.text.trimEnd().split('\n')) {
      const declared = line.match(/^# TYPE ([a-z_]+) (counter|gauge)$/);
      if (declared !== null) {
        assert.ok(!types.has(declared[1]!), `${declared[1]} stands in one place`);
        types.set(declared[1]!, declared[2]!);
        last = declared[1]!;
      } else if (!line.startsWith('# HELP ')) {
        const [, name = '', labels = '', value = ''] = line.match(SAMPLE) ?? assert.fail(`no sample: ${line}`);
        assert.equal(name, last);
        assert.ok(!seen.has(name + labels), `${name}${labels} twice`);
        seen.add(name + labels);
        assert.ok(Number.isFinite(Number(value)));
        assert.equal(name.endsWith('_total'), types.get(name) === 'counter', name);
      }
    }
    assert.ok(seen.size > 40);
  });

  it('has the endpoints with their network and compartment, and the drop reasons', async () => {
    const { text } = await lab.call('GET', '/metrics');
    assert.match(
      text,
      /^weft_endpoint_receive_frames_total\{endpoint="web-back",network="back",compartment="web"\} 0$/m,
    );
    assert.match(text, /^weft_endpoints\{state="attached"\} 1$/m);
    assert.match(text, /^weft_drops_total\{reason="exceeds-mtu",scope="frame"\} 0$/m);
    assert.match(text, /^weft_networks 1$/m);
  });

  it('counts the requests and keeps label values in one line', async () => {
    const count = async () =>
      Number((await lab.call('GET', '/metrics')).text.match(/^weft_api_requests_total (\d+)$/m)![1]);
    const first = await count();
    assert.equal(await count(), first + 1);
    const odd = await ApiLab.start({
      override: {
        stats: () => ({
          ...lab.controller.stats(),
          endpoints: [{ ...lab.controller.stats().endpoints[0]!, compartment: 'a"b\\c\nd' }],
        }),
      },
    });
    assert.match((await odd.call('GET', '/metrics')).text, /compartment="a\\"b\\\\c\\nd"\} /);
    await odd.close();
  });
});
