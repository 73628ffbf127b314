/**
 * weft exec COMPARTMENT -- COMMAND...: this process enters the namespace and becomes the command, so that signals, the
 * terminal and the exit status need no passing on. The command sees the files of /etc/netns/NAME in /etc, as `ip netns exec`
 * would show them. 126 and 127 mean what they mean to a shell.
 */
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { Argument, type Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { completes } from '../completion/kinds.js';
import { CliError, EXIT_USAGE } from '../failure.js';
import { examples } from '../help.js';
import type { CliNative, Session } from '../session.js';

/** ip-netns(8): files in CONFIGURATION/NAME are what programs in the namespace NAMES/NAME see in SYSTEM. */
const NAMES = '/run/netns';
const CONFIGURATION = '/etc/netns';
const SYSTEM = '/etc';
const EXIT_CANNOT_RUN = 126;
const EXIT_NO_SUCH_COMMAND = 127;

export function addExecCommand(program: Command, session: Session): void {
  program
    .command('exec')
    .description('run a command in a compartment; its exit status is passed through')
    .usage('COMPARTMENT -- COMMAND...')
    .passThroughOptions()
    .addArgument(completes(new Argument('<COMPARTMENT>', 'where to run it'), 'compartment'))
    .argument('<COMMAND...>', 'the command and its arguments, after --')
    .addHelpText('after', examples('weft exec web -- ip -brief address', 'weft exec web -- ping -c 3 10.81.0.3'))
    .action(async (compartment: string, words: string[]) => {
      await run(session, compartment, words[0] === '--' ? words.slice(1) : words);
    });
}

/** Only returns by throwing. */
async function run(session: Session, compartment: string, [file = '', ...rest]: string[]): Promise<void> {
  if (file === '') throw new CliError('no command', '', 'weft exec COMPARTMENT -- COMMAND...', EXIT_USAGE);
  const what = `cannot run ${file} in ${compartment}`;
  const path = objectPath('compartments', compartment);
  const view = await session.client.call<SchemaTypes['Compartment']>({ what, method: 'GET', path });
  if (!session.world.isRoot) {
    throw new CliError(what, 'only root may enter a namespace', `use sudo weft exec ${compartment} -- ...`);
  }
  const native = await session.world.loadNative();
  const fd = native.openNamespace(view.path);
  if (fd < 0) throw failed(what, `${view.path}: ${reasonOf(fd)}`, `see weft compartment show ${compartment}`);
  const entered = native.enterNamespace(fd);
  if (entered < 0) throw failed(what, `entering ${view.path}: ${reasonOf(entered)}`, 'run it as root');
  showConfiguration(native, view.path, what);
  const errno = native.execProgram(file, rest);
  const missing = getSystemErrorName(errno) === 'ENOENT';
  throw new CliError(
    what,
    missing ? 'there is no such command' : reasonOf(errno),
    missing ? 'the command is looked up in PATH' : 'is it an executable file?',
    missing ? EXIT_NO_SUCH_COMMAND : EXIT_CANNOT_RUN,
  );
}

/** Gives the program the files that are for its namespace alone, its resolv.conf above all. */
function showConfiguration(native: CliNative, path: string, what: string): void {
  if (dirname(path) !== NAMES) return;
  const directory = join(CONFIGURATION, basename(path));
  const files = filesIn(directory);
  if (files.length === 0) return;
  const mounted = native.privateMounts();
  if (mounted < 0) throw failed(what, `a mount namespace of its own: ${reasonOf(mounted)}`, 'run it as root');
  for (const file of files) {
    const bound = native.bindMount(join(directory, file), join(SYSTEM, file));
    // As ip-netns does it: what is not there in /etc cannot be shown.
    if (bound < 0 && getSystemErrorName(bound) !== 'ENOENT') {
      throw failed(what, `${join(directory, file)} at ${join(SYSTEM, file)}: ${reasonOf(bound)}`, 'look at both files');
    }
  }
}

function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // most namespaces have none
  }
}

function failed(what: string, why: string, remedy: string): CliError {
  return new CliError(what, why, remedy, EXIT_CANNOT_RUN);
}

function reasonOf(errno: number): string {
  switch (getSystemErrorName(errno)) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EPERM':
      return 'not permitted';
    case 'ENOEXEC':
      return 'it is no program';
    default:
      return getSystemErrorName(errno);
  }
}
