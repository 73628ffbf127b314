/** The command tree as plain data for the completion scripts: per command path its verbs, options and arguments. */
import type { Argument, Command, Option } from 'commander';
import { type CompletionKind, completionKindOf } from './kinds.js';

/** What can stand as the value of an option or as an argument. */
export type Values = { kind: CompletionKind } | { choices: readonly string[] } | null;

export interface OptionWords {
  /** `-f`, `--file`. */
  flags: string[];
  description: string;
  takesValue: boolean;
  values: Values;
}

export interface CommandWords {
  /** `network create`; empty for the program itself. */
  path: string;
  /** Verbs with their descriptions; aliases are left out: they work, but would only clutter the list. */
  verbs: { name: string; description: string }[];
  /** Alias to verb, for finding out where we are. */
  aliases: { alias: string; name: string }[];
  options: OptionWords[];
  /** By position; the last one repeats when it is variadic. */
  arguments: Values[];
}

/** All commands that are not hidden, the program itself first. */
export function commandWords(program: Command): CommandWords[] {
  const globals = program.options.filter((option) => option.long !== '--version').map(optionWords);
  return walk(program, '', globals);
}

function walk(command: Command, path: string, globals: OptionWords[]): CommandWords[] {
  const verbs = command.commands.filter((verb) => !verb.name().startsWith('_'));
  const own = path === '' ? [] : command.options.filter((option) => !option.hidden).map(optionWords);
  const words: CommandWords = {
    path,
    verbs: verbs.map((verb) => ({ name: verb.name(), description: verb.description() })),
    aliases: verbs.flatMap((verb) => verb.aliases().map((alias) => ({ alias, name: verb.name() }))),
    options: [...own, ...globals, HELP],
    arguments: command.registeredArguments.map(valuesOf),
  };
  return [words, ...verbs.flatMap((verb) => walk(verb, `${path} ${verb.name()}`.trim(), globals))];
}

const HELP: OptionWords = { flags: ['--help'], description: 'show help', takesValue: false, values: null };

function optionWords(option: Option): OptionWords {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined && flag !== null);
  return {
    flags,
    description: option.description,
    takesValue: option.required || option.optional,
    values: valuesOf(option),
  };
}

function valuesOf(item: Argument | Option): Values {
  const kind = completionKindOf(item);
  if (kind !== null) return { kind };
  return item.argChoices === undefined ? null : { choices: item.argChoices };
}
