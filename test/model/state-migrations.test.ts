/** State files of older versions come up as the same lab, and say nothing of the numbers they did not keep. */
import assert from 'node:assert/strict';
import { formatState, parseState } from '../../src/model/state-file.js';
import { migrate, STATE_VERSION } from '../../src/model/state-migrations.js';
import { STATE_VERSION_1_TEXT } from '../support/state-version-1.js';

const LIMITS = { networks: 100, ports: 100 };

const NEW_OF_NETWORKS = {
  uplink: null,
  uplinkNetns: null,
  externalIp: [],
  nextHop: [],
  masquerade: false,
  nat: null,
  routesTo: [],
  advertise: false,
  dhcp: null,
  dns: null,
  overlay: null,
};
const NEW_OF_ENDPOINTS = { publish: [], configure: true, aliases: [], vtep: null };

describe('model/state-migrations', () => {
  it('read a file of version 1 whole: every object, and event numbers that no run of it can have reached', () => {
    const reading = parseState(STATE_VERSION_1_TEXT, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual([reading.version, reading.left, reading.captures], [1, [], []]);
    const old = JSON.parse(STATE_VERSION_1_TEXT);
    const { eventsReserved, ...rewritten } = JSON.parse(formatState(reading.state, []));
    const withSpec = (fields: object) => (item: { spec: object }) => ({ ...item, spec: { ...item.spec, ...fields } });
    const networks = old.networks.map(withSpec(NEW_OF_NETWORKS)).map((item: object) => ({ ...item, transit: [] }));
    assert.equal(eventsReserved, 1_000_000);
    assert.deepEqual(rewritten, {
      ...old,
      weft: STATE_VERSION,
      networks,
      endpoints: old.endpoints.map(withSpec(NEW_OF_ENDPOINTS)),
    });
  });

  it('read a file of version 2 as well: the objects say nothing of nat, and that is what they get', () => {
    const text = STATE_VERSION_1_TEXT.replace('"weft":1', '"weft":2,\n"eventsReserved":7');
    const reading = parseState(text, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual([reading.version, reading.left, reading.state.eventsReserved], [2, [], 7]);
    for (const { spec } of reading.state.networks.values()) assert.deepEqual({ ...spec, ...NEW_OF_NETWORKS }, spec);
    for (const { spec } of reading.state.endpoints.values()) assert.deepEqual({ ...spec, ...NEW_OF_ENDPOINTS }, spec);
  });

  it('are pure, and leave the present version as it is', () => {
    const old = Object.freeze(JSON.parse(STATE_VERSION_1_TEXT));
    assert.deepEqual(migrate(old), migrate(old));
    const present = migrate(old);
    assert.equal(present.weft, STATE_VERSION);
    assert.deepEqual(migrate(present), present);
  });
});
