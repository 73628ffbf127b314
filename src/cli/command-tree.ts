/** The whole command line as a tree: one file per noun in commands/. */
import { Command, Option } from 'commander';
import { addCaptureCommand } from './commands/capture.js';
import { addClusterCommand } from './commands/cluster.js';
import { addCompartmentCommand } from './commands/compartment.js';
import { addCompletionCommand } from './commands/completion.js';
import { addEndpointCommand } from './commands/endpoint.js';
import { addEventsCommand } from './commands/events.js';
import { addExecCommand } from './commands/exec.js';
import { addFlowCommand } from './commands/flow.js';
import { addApplyCommand, addExportCommand } from './commands/lab.js';
import { addNetworkCommand } from './commands/network.js';
import { addPortCommand } from './commands/port.js';
import { addReplayCommand } from './commands/replay.js';
import { addStatsCommand } from './commands/stats.js';
import { addDoctorCommand, addStatusCommand, addVersionCommand } from './commands/status.js';
import { addDropCommand, addFdbCommand, addVtepCommand } from './commands/tables.js';
import { addTraceCommand } from './commands/trace.js';
import { completes } from './completion/kinds.js';
import { examples } from './help.js';
import { DEFAULT_SOCKET, type GlobalOptions, type Session } from './session.js';

export function createCommandTree(session: Session): Command {
  const program = new Command('weft');
  const socket = new Option('--socket <PATH>', `socket of weftd (else WEFT_SOCKET, else ${DEFAULT_SOCKET})`);
  program
    .description('connects isolated network stacks with virtual switches')
    .addOption(completes(socket, 'file'))
    .option('--json', 'print exactly one JSON document')
    .version(`weft ${session.world.version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .addHelpText(
      'after',
      examples(
        'weft network create back --type private --subnet 10.81.0.0/24',
        'weft compartment create web',
        'weft endpoint create web-back --network back --compartment web',
        'weft exec web -- ip -brief address',
        'weft capture --network back',
      ),
    )
    // The words after a verb belong to that verb: those of `exec` to its command, those of `capture start` to start.
    .enablePositionalOptions()
    .hook('preAction', (_program, command) => session.setOptions(command.optsWithGlobals<GlobalOptions>()));
  for (const addCommand of COMMANDS) addCommand(program, session);
  for (const command of program.commands) {
    acceptGlobalOptions(command);
    command.helpCommand(false);
  }
  return program;
}

/** --socket and --json may also stand behind the verb; the help lists them once, with the program. */
function acceptGlobalOptions(command: Command): void {
  command.addOption(new Option('--socket <PATH>').hideHelp()).addOption(new Option('--json').hideHelp());
  for (const verb of command.commands) acceptGlobalOptions(verb);
}

const COMMANDS: readonly ((program: Command, session: Session) => void)[] = [
  addNetworkCommand,
  addCompartmentCommand,
  addEndpointCommand,
  addPortCommand,
  addExecCommand,
  addCaptureCommand,
  addReplayCommand,
  addTraceCommand,
  addVtepCommand,
  addClusterCommand,
  addFdbCommand,
  addFlowCommand,
  addDropCommand,
  addStatsCommand,
  addEventsCommand,
  addApplyCommand,
  addExportCommand,
  addStatusCommand,
  addVersionCommand,
  addDoctorCommand,
  addCompletionCommand,
];
