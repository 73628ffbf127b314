/**
 * The completion script for zsh, printed from the command tree, with descriptions. Names of objects come from
 * `weft __complete KIND`.
 */
import type { CommandWords, OptionWords, Values } from './words.js';

export function zshScript(commands: CommandWords[]): string {
  return `#compdef weft
# zsh completion for weft: source <(weft completion zsh), or put it into a file _weft in your fpath
# The kind comes last, after what _arguments adds for compadd.
_weft_names() {
  local -a names socket
  [[ -n \${opt_args[--socket]} ]] && socket=(--socket "\${opt_args[--socket]}")
  names=("\${(@f)$(weft $socket __complete \${@[-1]} 2>/dev/null)}")
  names=(\${names:#})
  compadd "\${@[1,-2]}" -a names
}
${commands.map(functionText).join('\n')}
if [[ \${funcstack[1]} == _weft ]]; then
  _weft "$@"
else
  compdef _weft weft
fi`;
}

function functionText(command: CommandWords): string {
  const specs = [...command.options.flatMap(optionSpecs), ...argumentSpecs(command)];
  const lines = [
    `${functionName(command.path)}() {`,
    '  local curcontext=$curcontext state line',
    '  typeset -A opt_args',
  ];
  lines.push(`  _arguments -C \\\n${specs.map((spec) => `    ${spec}`).join(' \\\n')}`);
  if (command.verbs.length > 0) lines.push(dispatchText(command));
  return [...lines, '}'].join('\n');
}

function dispatchText(command: CommandWords): string {
  const described = command.verbs.map(({ name, description }) => `      ${quote(`${name}:${description}`)}`);
  const targets = command.verbs.map(({ name }) => {
    const aliases = command.aliases.filter((alias) => alias.name === name).map(({ alias }) => alias);
    return `        ${[name, ...aliases].join('|')}) ${functionName(`${command.path} ${name}`.trim())} ;;`;
  });
  return `  case $state in
    verb)
      local -a verbs
      verbs=(
${described.join('\n')}
      )
      _describe -t commands 'weft command' verbs
      ;;
    rest)
      case $line[1] in
${targets.join('\n')}
      esac
      ;;
  esac`;
}

function argumentSpecs(command: CommandWords): string[] {
  if (command.verbs.length > 0) return [quote('1: :->verb'), quote('*:: :->rest')];
  if (command.path === 'exec')
    return [quote(`1:compartment:${action(command.arguments[0] ?? null)}`), quote('*::command:_normal')];
  return command.arguments.map((values, i) => quote(`${i + 1}:name:${action(values)}`));
}

function optionSpecs(option: OptionWords): string[] {
  const description = option.description.replace(/[[\]:\\]/g, '\\$&');
  const value = option.takesValue ? `:value:${action(option.values)}` : '';
  return option.flags.map((flag) => quote(`*${flag}[${description}]${value}`));
}

function action(values: Values): string {
  if (values === null) return ' ';
  if ('choices' in values) return `(${values.choices.join(' ')})`;
  return values.kind === 'file' ? '_files' : `_weft_names ${values.kind}`;
}

function functionName(path: string): string {
  return path === '' ? '_weft' : `_weft_${path.replaceAll(' ', '_').replaceAll('-', '_')}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
