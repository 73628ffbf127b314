/** State files of older versions come up as the same lab, and say nothing of the numbers they did not keep. */
import assert from 'node:assert/strict';
import { formatState, parseState } from '../../src/model/state-file.js';
import { migrate, STATE_VERSION } from '../../src/model/state-migrations.js';
import { STATE_VERSION_1_TEXT } from '../support/state-version-1.js';

const LIMITS = { networks: 100, ports: 100 };

describe('model/state-migrations', () => {
  it('read a file of version 1 whole: every object, and event numbers that no run of it can have reached', () => {
    const reading = parseState(STATE_VERSION_1_TEXT, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual([reading.version, reading.left, reading.captures], [1, [], []]);
    const rewritten = formatState(reading.state, []);
    const expected = STATE_VERSION_1_TEXT.replace('"weft":1', `"weft":${STATE_VERSION}`).replace(
      '"networks":[',
      '"eventsReserved":1000000,\n"networks":[',
    );
    assert.equal(rewritten, expected);
  });

  it('are pure, and leave the present version as it is', () => {
    const old = Object.freeze(JSON.parse(STATE_VERSION_1_TEXT));
    assert.deepEqual(migrate(old), migrate(old));
    const present = migrate(old);
    assert.equal(present.weft, STATE_VERSION);
    assert.deepEqual(migrate(present), present);
  });
});
