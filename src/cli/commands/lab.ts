/** weft apply -f FILE [--dry-run], weft export */
import { type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { completes } from '../completion/kinds.js';
import { examples } from '../help.js';
import { readLabFile } from '../lab-file.js';
import { tableText } from '../render/table.js';
import type { Session } from '../session.js';

type ApplyResult = SchemaTypes['ApplyResult'];
type Action = ApplyResult['steps'][number]['action'];

interface ApplyOptions {
  file: string;
  dryRun?: boolean;
}

export function addApplyCommand(program: Command, session: Session): void {
  const file = new Option('-f, --file <FILE>', 'the lab file; - for stdin').makeOptionMandatory();
  program
    .command('apply')
    .description('make reality match a lab file; what it no longer names and apply once made is removed')
    .addOption(completes(file, 'file'))
    .option('--dry-run', 'only print the plan')
    .addHelpText('after', examples('weft apply -f lab.yaml --dry-run', 'weft export | weft apply -f -'))
    .action(async (options: ApplyOptions) => {
      const lab = await readLabFile(session.world, options.file);
      const body = { lab, dryRun: options.dryRun ?? false };
      const what = `cannot apply ${options.file}`;
      const result = await session.client.call<ApplyResult>({ what, method: 'POST', path: '/v1/apply', body });
      session.answer(result, applyText(result, options.file));
    });
}

export function addExportCommand(program: Command, session: Session): void {
  program
    .command('export')
    .description('print what exists as a lab file')
    .action(async () => {
      const call = { what: 'cannot export the lab', method: 'GET', path: '/v1/export' } as const;
      const lab = await session.client.call<SchemaTypes['Lab']>(call);
      if (session.isJson) return session.answer(lab, '');
      const { stringify } = (await import('yaml')).default;
      session.print(stringify(lab, { flowCollectionPadding: true, lineWidth: 0 }).trimEnd());
    });
}

const MARKS: Record<Action, string> = { create: '+', update: '~', replace: '!', delete: '-' };
const PAST: Record<Action, string> = { create: 'created', update: 'updated', replace: 'replaced', delete: 'deleted' };

function applyText(result: ApplyResult, file: string): string {
  if (result.steps.length === 0) return `nothing to change: everything is as ${file === '-' ? 'the lab' : file} says`;
  const rows = result.steps.map((step) => [MARKS[step.action], step.action, step.object, step.name, step.detail]);
  const table = tableText(
    [{ title: '' }, { title: 'ACTION' }, { title: 'OBJECT' }, { title: 'NAME' }, { title: 'DETAIL' }],
    rows,
  );
  const counts = (Object.keys(PAST) as Action[])
    .map((action) => [result.steps.filter((step) => step.action === action).length, PAST[action]] as const)
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${count} ${word}`);
  return `${table}\n\n${result.dryRun ? 'dry run, nothing done: would be ' : ''}${counts.join(', ')}`;
}
