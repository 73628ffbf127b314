/** weft status, weft version, weft doctor */
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { CliError, EXIT_FAILURE } from '../failure.js';
import { datapathSummary } from '../render/datapath.js';
import { fieldsText, tableText } from '../render/table.js';
import { bytes, duration } from '../render/units.js';
import { DEFAULT_RUN_DIR, type Finding, type Session } from '../session.js';

type Stats = SchemaTypes['Stats'];
type Status = SchemaTypes['Status'];

export function addStatusCommand(program: Command, session: Session): void {
  program
    .command('status')
    .description('how the daemon is doing')
    .action(async () => {
      const status = await readStatus(session);
      if (session.isJson) return session.answer(status, '');
      const call = { what: 'cannot read the counters', method: 'GET', path: '/v1/stats' } as const;
      session.print(statusText(status, await session.client.call<Stats>(call)));
    });
}

export function addVersionCommand(program: Command, session: Session): void {
  program
    .command('version')
    .description('versions of this program and of the daemon')
    .action(async () => {
      const { version } = session.world;
      const daemon = await readStatus(session).catch(() => null);
      const running = daemon === null ? `weftd does not answer on ${session.socketPath}` : `weftd ${daemon.version}`;
      session.answer({ version, daemon: daemon?.version ?? null }, `weft ${version}\n${running}`);
    });
}

export function addDoctorCommand(program: Command, session: Session): void {
  program
    .command('doctor')
    .description('checks the machine and says what to do; works without a daemon')
    .action(async () => {
      const daemon = await readStatus(session).catch(() => null);
      const findings = await session.world.checkMachine(daemon?.runDir ?? DEFAULT_RUN_DIR);
      if (daemon !== null) findings.push(...clusterFindings(daemon.cluster));
      session.answer(findings, doctorText(findings));
      const failed = findings.filter((finding) => finding.status === 'fail').map((finding) => finding.check);
      if (failed.length === 0) return;
      throw new CliError('this machine cannot run weft yet', failed.join(', '), 'see the remedies above', EXIT_FAILURE);
    });
}

function readStatus(session: Session): Promise<Status> {
  return session.client.call<Status>({ what: 'cannot read the status', method: 'GET', path: '/v1/status' });
}

function statusText(status: Status, { datapath }: Stats): string {
  const { endpoints, program } = status;
  const parts = (['attached', 'detached', 'degraded', 'remote'] as const).filter((state) => endpoints[state] > 0);
  const states = parts.map((state) => `${endpoints[state]} ${state}`).join(', ');
  const versions =
    program.applied === program.desired
      ? `program ${program.applied}`
      : `program ${program.applied}, ${program.desired} is on its way`;
  return [
    `weftd ${status.version} runs: process ${status.pid}, for ${duration(status.uptimeSeconds)}`,
    '',
    fieldsText([
      ['Datapath', `${status.worker}, ${versions}\n${datapathSummary(datapath)}`],
      ['Networks', String(status.networks)],
      ['Compartments', String(status.compartments)],
      ['Endpoints', states === '' ? '0' : `${endpoints.total} (${states})`],
      ['Captures', String(status.captures)],
      ['Cluster', clusterText(status.cluster)],
      ['Memory', bytes(status.memory.residentBytes)],
      ['Started', status.startedAt],
      ['Socket', status.socket],
      ['State', status.stateDir],
      ['Runtime', status.runDir],
      ['Instance', status.instance],
      ['Warnings', status.warnings.join('\n') || 'none'],
    ]),
  ].join('\n');
}

/** Of a daemon that runs and should be in a cluster. */
function clusterFindings({ state, reason }: Status['cluster']): Finding[] {
  if (state === 'none') return [];
  const finding = { check: 'cluster', finding: clusterText({ state, reason }) };
  if (state === 'joined') return [{ ...finding, status: 'ok', cost: '', remedy: '' }];
  const cost = 'overlay networks go on with what is known; nothing that other hosts must agree to can change';
  const remedy =
    state === 'refused'
      ? 'give this host another name in weft.yaml (cluster: {host: NAME}), or stop the other weftd'
      : 'look at etcd and at the way there: `weft cluster status` shows its members';
  return [{ ...finding, status: 'warn', cost, remedy }];
}

function clusterText({ state, reason }: Status['cluster']): string {
  return reason === '' ? state : `${state} (${reason})`;
}

const MARKS: Record<Finding['status'], string> = { ok: 'ok', info: 'info', warn: 'WARN', fail: 'FAIL' };

function doctorText(findings: Finding[]): string {
  const table = tableText(
    [{ title: 'STATUS' }, { title: 'CHECK' }, { title: 'FINDING' }],
    findings.map(({ check, status, finding }) => [MARKS[status], check, finding]),
  );
  const advice = findings
    .filter(({ status, cost, remedy }) => status !== 'ok' && (cost !== '' || remedy !== ''))
    .map(({ check, cost, remedy }) => [check, [cost, remedy].filter((line) => line !== '').join('\n')] as const);
  return advice.length === 0 ? table : `${table}\n\nWhat to do:\n${fieldsText(advice)}`;
}
