// What weft tells the service manager, and when: the watchdog is fed by turns of the datapath and by nothing else.
import { strict as assert } from 'node:assert';
import { Supervisor, statusLine, takeSupervision } from '../../src/control/supervisor.js';

interface Rig {
  supervisor: Supervisor;
  supervised: { heartbeat: () => number; status: () => string };
  /** Takes what was sent since the last call. */
  sent(): string[];
  warnings: object[];
}

function createRig(
  watchdogMs: number | null,
  address: string | null = '@manager',
): Rig & { turns: number; text: string } {
  const messages: string[] = [];
  const warnings: object[] = [];
  const rig = {
    turns: 0,
    text: 'Forwarding: nothing',
    warnings,
    sent: () => messages.splice(0),
    supervised: { heartbeat: () => rig.turns, status: () => rig.text },
    supervisor: new Supervisor({
      supervision: { address, watchdogMs },
      log: { warn: (details) => warnings.push(details) },
      send: (to, message) => {
        assert.equal(to, '@manager');
        messages.push(message);
        return failure;
      },
    }),
  };
  return rig;
}

let failure = 0;

describe('supervisor', () => {
  beforeEach(() => {
    failure = 0;
  });

  it('takes what the service manager passed out of the environment', () => {
    const environment = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '10000000', WATCHDOG_PID: '7', HOME: '/root' };
    assert.deepEqual(takeSupervision(environment, 7), { address: '/run/notify', watchdogMs: 10_000 });
    assert.deepEqual(environment, { HOME: '/root' });
  });

  it('does not feed a watchdog that is not its own, or that makes no sense', () => {
    const other = { NOTIFY_SOCKET: '@n', WATCHDOG_USEC: '1000', WATCHDOG_PID: '8' };
    assert.deepEqual(takeSupervision(other, 7), { address: '@n', watchdogMs: null });
    assert.deepEqual(takeSupervision({ NOTIFY_SOCKET: '', WATCHDOG_USEC: 'x' }, 7), {
      address: null,
      watchdogMs: null,
    });
    assert.deepEqual(takeSupervision({}, 7), { address: null, watchdogMs: null });
  });

  it('feeds the watchdog only when the datapath has turned since the last time', () => {
    const rig = createRig(10_000);
    rig.supervisor.ready(rig.supervised);
    rig.turns = 5;
    rig.supervisor.look(rig.supervised);
    rig.supervisor.look(rig.supervised);
    rig.supervisor.look(rig.supervised);
    rig.turns = 6;
    rig.supervisor.look(rig.supervised);
    rig.supervisor.stopping();
    assert.deepEqual(rig.sent(), [
      'READY=1\nSTATUS=Forwarding: nothing\n',
      'WATCHDOG=1\n',
      'WATCHDOG=1\n',
      'STOPPING=1\nSTATUS=Stopping; interfaces of endpoints stay\n',
    ]);
  });

  it('tells its status only when it has changed, in one line', () => {
    const rig = createRig(null);
    rig.supervisor.say('Starting');
    rig.supervisor.say('Starting');
    rig.supervisor.ready(rig.supervised);
    rig.supervisor.look(rig.supervised);
    rig.text = 'Forwarding: two\nREADY=0';
    rig.supervisor.look(rig.supervised);
    rig.supervisor.stopping();
    assert.deepEqual(rig.sent().slice(0, -1), [
      'STATUS=Starting\n',
      'READY=1\nSTATUS=Forwarding: nothing\n',
      'STATUS=Forwarding: two READY=0\n',
    ]);
  });

  it('says nothing without a service manager', () => {
    const rig = createRig(10_000, null);
    rig.supervisor.say('Starting');
    rig.supervisor.ready(rig.supervised);
    rig.supervisor.look(rig.supervised);
    rig.supervisor.stopping();
    assert.deepEqual(rig.sent(), []);
  });

  it('complains once while nobody listens', () => {
    const rig = createRig(10_000);
    failure = -111;
    for (const status of ['one', 'two']) rig.supervisor.say(status);
    failure = 0;
    rig.supervisor.say('three');
    failure = -2;
    rig.supervisor.say('four');
    assert.deepEqual(rig.warnings, [
      { address: '@manager', error: 'ECONNREFUSED' },
      { address: '@manager', error: 'ENOENT' },
    ]);
  });

  it('sums the daemon up in a line', () => {
    const view = {
      worker: 'running',
      networks: 1,
      endpoints: { total: 3, attached: 2, detached: 1, degraded: 0 },
      captures: 0,
      warnings: [] as string[],
    };
    const line = (change: object) => statusLine({ ...view, ...change } as Parameters<typeof statusLine>[0]);
    assert.deepEqual(
      [line({}), line({ worker: 'restarting', captures: 1, warnings: ['x', 'y'] })],
      [
        'Forwarding: 1 network, 2 of 3 endpoints attached',
        'The datapath worker is being started again: 1 network, 2 of 3 endpoints attached, 1 capture; 2 warnings, see weft status',
      ],
    );
  });
});
