/** /metrics is Prometheus text as its format demands, and has the numbers of the daemon. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { CaptureView } from '../../src/control/controller/captures.js';
import { ApiLab } from '../support/api-lab.js';

/** Says that the text is as Prometheus wants it, lint rules included. */
function checkWithPromtool(text: string): void {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
}

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
      const declared = line.match(/^# TYPE ([a-z_]+) (counter|gauge|histogram)$/);
      if (declared !== null) {
        assert.ok(!types.has(declared[1]!), `${declared[1]} stands in one place`);
        types.set(declared[1]!, declared[2]!);
        last = declared[1]!;
      } else if (!line.startsWith('# HELP ')) {
        const [, name = '', labels = '', value = ''] = line.match(SAMPLE) ?? assert.fail(`no sample: ${line}`);
        const part = types.get(last) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name;
        assert.equal(part, last);
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

  it('passes promtool, also with every family there is and hostile names', async () => {
    checkWithPromtool((await lab.call('GET', '/metrics')).text);
    const hostile = ['a"b', 'c\\d', 'e\nf', '}', '{le="1"} 2', '# HELP x', 'ü漢😀'];
    const stats = lab.controller.stats();
    const drops = lab.controller.listDrops();
    const capture = { frames: 1, bytes: 2, lost: 3 } as CaptureView;
    const odd = await ApiLab.start({
      override: {
        stats: () => ({
          ...stats,
          endpoints: hostile.map((name) => ({
            ...stats.endpoints[0]!,
            endpoint: name,
            network: name,
            compartment: name,
          })),
          dhcp: hostile.flatMap((network) => [
            { network, what: 'discover', isIgnored: false, count: 1 },
            { network, what: 'foreign-mac', isIgnored: true, count: 2 },
          ]),
        }),
        listDrops: () =>
          drops.map((drop) => ({ ...drop, endpoints: hostile.map((endpoint) => ({ endpoint, frames: 1 })) })),
        listCaptures: () => hostile.map((name) => ({ ...capture, name })),
      },
    });
    const { text } = await odd.call('GET', '/metrics');
    await odd.close();
    checkWithPromtool(text);
    assert.equal(text.match(/^weft_capture_lost_total\{/gm)?.length, hostile.length);
    assert.equal(text.match(/^weft_endpoint_drops_total\{/gm)?.length, hostile.length * drops.length);
    assert.match(text, /^weft_dhcp_messages_total\{network="\}",message="discover"\} 1$/m);
    assert.match(text, /^weft_dhcp_ignored_total\{network="\}",reason="foreign-mac"\} 2$/m);
  });

  it('sums up networks, and has turns as histograms whose buckets include the smaller ones', async () => {
    const stats = lab.controller.stats();
    const row = stats.endpoints[0]!;
    const { datapath } = stats;
    const odd = await ApiLab.start({
      override: {
        stats: () => ({
          ...stats,
          endpoints: [
            { ...row, endpoint: 'x', network: 'n', rxFrames: 5, rxDropped: 2 },
            { ...row, endpoint: 'y', network: 'n', rxFrames: 7, txDropped: 3 },
          ],
          datapath: {
            ...datapath,
            arrivals: 260,
            busySeconds: 0.25,
            bursts: datapath.bursts.map(({ upTo }) => ({ upTo, turns: upTo === 4 ? 1 : upTo === 256 ? 1 : 0 })),
            turnTimes: datapath.turnTimes.map(({ upTo }) => ({ upTo, turns: upTo === 5 || upTo === null ? 1 : 0 })),
          },
        }),
      },
    });
    const { text } = await odd.call('GET', '/metrics');
    await odd.close();
    checkWithPromtool(text);
    const lines = (start: string) => text.split('\n').filter((line) => line.startsWith(start));
    assert.deepEqual(lines('weft_network_receive_frames_total'), ['weft_network_receive_frames_total{network="n"} 12']);
    assert.deepEqual(lines('weft_network_dropped_total'), ['weft_network_dropped_total{network="n"} 5']);
    assert.deepEqual(
      lines('weft_turn_frames').map((line) => line.replace('weft_turn_frames', '')),
      [
        ...[1, 2].map((le) => `_bucket{le="${le}"} 0`),
        ...[4, 8, 16, 32, 64, 128].map((le) => `_bucket{le="${le}"} 1`),
        ...['_bucket{le="256"} 2', '_bucket{le="+Inf"} 2', '_sum 260', '_count 2'],
      ],
    );
    assert.deepEqual(lines('weft_turn_seconds_bucket{le="0.000005"}'), ['weft_turn_seconds_bucket{le="0.000005"} 1']);
    assert.deepEqual(lines('weft_turn_seconds_bucket{le="+Inf"}'), ['weft_turn_seconds_bucket{le="+Inf"} 2']);
    assert.deepEqual(lines('weft_turn_seconds_sum'), ['weft_turn_seconds_sum 0.25']);
  });
});
