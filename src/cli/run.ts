/** Runs one command line and tells the exit status: 0, 1 for a failure, 2 for a command line that is wrong. */
import { type Argument, type Command, CommanderError } from 'commander';
import { createCommandTree } from './command-tree.js';
import { CliError, EXIT_FAILURE, EXIT_USAGE, errorLine } from './failure.js';
import { type CliWorld, Session } from './session.js';

/** `parameters` are the words after the program's name. */
export async function runCli(parameters: readonly string[], world: CliWorld): Promise<number> {
  const session = new Session(world);
  const program = createCommandTree(session);
  configure(program, world);
  try {
    await program.parseAsync([...parameters], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CliError) {
      world.stderr.write(`${error.message}\n`);
      return error.exitStatus;
    }
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    world.stderr.write(`${errorLine('weft met a fault of its own', String(error), 'please report it')}\n`);
    return EXIT_FAILURE;
  }
}

/** Errors of the command line become one line, with where to read on. */
function configure(command: Command, world: CliWorld): void {
  command.exitOverride();
  command.configureOutput({
    writeOut: (text) => world.stdout.write(text),
    // The only help that goes to stderr is that for a noun without a verb: one line says as much.
    writeErr: (text) => world.stderr.write(isMissingVerb(command, text) ? missingVerb(command) : text),
    getOutHelpWidth: () => world.stdout.columns ?? 100,
    getErrHelpWidth: () => world.stderr.columns ?? 100,
    outputError: (text, write) => {
      const what = text
        .replace(/^error: /, '')
        .replace(/\n\(Did you mean (.*)\?\)/s, '; did you mean $1?')
        .trim();
      const fixed = fixedOption(command, what);
      if (fixed !== null) return write(`${errorLine(...fixed)}\n`);
      write(`${errorLine(what, '', `see ${pathOf(command)} --help`)}\n`);
    },
  });
  command.configureHelp({
    subcommandTerm: (verb) => [verb.name(), ...verb.registeredArguments.map(argumentTerm)].join(' '),
  });
  for (const verb of command.commands) configure(verb, world);
}

/** An option of `create` that `set` does not take: what it stands for cannot change. */
function fixedOption(command: Command, what: string): [what: string, why: string, remedy: string] | null {
  const flag = /^unknown option '(--[^' =]+)/.exec(what)?.[1];
  const create =
    command.name() === 'set' ? command.parent?.commands.find((verb) => verb.name() === 'create') : undefined;
  if (flag === undefined || create?.options.every(({ long }) => long !== flag) !== false) return null;
  const noun = command.parent?.name() ?? '';
  const why = `that cannot change while the ${noun} exists`;
  return [`option '${flag}' is one of ${pathOf(create)} only`, why, `delete the ${noun} and create it again`];
}

function argumentTerm(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? name : `[${name}]`;
}

function isMissingVerb(command: Command, text: string): boolean {
  return command.parent !== null && text.startsWith('Usage: ');
}

function missingVerb(command: Command): string {
  const verbs = command.commands.map((verb) => verb.name()).join(', ');
  return `${errorLine(`${pathOf(command)} needs a verb`, verbs, `see ${pathOf(command)} --help`)}\n`;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
