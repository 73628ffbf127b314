/**
 * The completion script for bash, printed from the command tree. It knows verbs and options by itself; names of objects
 * it asks `weft __complete KIND` for. Nothing in it needs the bash-completion package.
 */
import type { CommandWords, Values } from './words.js';

export function bashScript(commands: CommandWords[]): string {
  return `# bash completion for weft: source <(weft completion bash)
_weft_names() {
  local socket=()
  [[ -n $_weft_socket ]] && socket=(--socket "$_weft_socket")
  weft "\${socket[@]}" __complete "$1" 2>/dev/null
}
_weft_fill() {
  local IFS=$'\\n' candidates
  case $1 in
    file) candidates=$(compgen -f -- "$_weft_current") ;;
    name:*) candidates=$(compgen -W "$(_weft_names "\${1#name:}")" -- "$_weft_current") ;;
    words:*) candidates=$(IFS=' '; compgen -W "\${1#words:}" -- "$_weft_current") ;;
    *) return ;;
  esac
  while IFS= read -r candidate; do
    [[ -n $candidate ]] && COMPREPLY+=("$candidate")
  done <<<"$candidates"
  [[ $1 == file ]] && compopt -o filenames 2>/dev/null
  return 0
}
_weft() {
  local _weft_current=\${COMP_WORDS[COMP_CWORD]} _weft_socket='' path='' position=0 i word value='' candidate
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $value ]]; then
      [[ $value == --socket ]] && _weft_socket=$word
      value=''
      continue
    fi
    [[ $word == -- ]] && { _weft_rest; return; }
    case "$path $word" in
${valueCases(commands)}
      *" -"*) continue ;;
${verbCases(commands)}
      *) position=$((position + 1)) ;;
    esac
  done
  if [[ -n $value ]]; then
    case "$path $value" in
${optionValueCases(commands)}
    esac
    return
  fi
  case $path in
${pathCases(commands)}
  esac
}
_weft_rest() {
  COMPREPLY=()
  while IFS= read -r candidate; do
    [[ -n $candidate ]] && COMPREPLY+=("$candidate")
  done <<<"$(compgen -c -f -- "$_weft_current")"
}
complete -F _weft weft`;
}

/** Words after which a value follows. */
function valueCases(commands: CommandWords[]): string {
  const patterns = commands.flatMap(({ path, options }) =>
    options.filter((option) => option.takesValue).flatMap(({ flags }) => flags.map((flag) => quote(`${path} ${flag}`))),
  );
  return `      ${patterns.join('|')}) value=$word ;;`;
}

/** Words that lead into a command, aliases included. */
function verbCases(commands: CommandWords[]): string {
  return commands
    .flatMap(({ path, verbs, aliases }) =>
      [...verbs.map(({ name }) => [name, name]), ...aliases.map(({ alias, name }) => [alias, name])].map(
        ([word, name]) => `      ${quote(`${path} ${word}`)}) path=${quote(`${path} ${name}`.trim())} position=0 ;;`,
      ),
    )
    .join('\n');
}

function optionValueCases(commands: CommandWords[]): string {
  return commands
    .flatMap(({ path, options }) =>
      options
        .filter((option) => option.values !== null)
        .map(
          ({ flags, values }) =>
            `      ${flags.map((flag) => quote(`${path} ${flag}`)).join('|')}) _weft_fill ${fill(values)} ;;`,
        ),
    )
    .join('\n');
}

function pathCases(commands: CommandWords[]): string {
  return commands.map((command) => `    ${quote(command.path)})\n${pathBody(command)}\n      ;;`).join('\n');
}

function pathBody(command: CommandWords): string {
  const flags = command.options.flatMap((option) => option.flags).join(' ');
  const lines = [
    `      if [[ $_weft_current == -* ]]; then`,
    `        _weft_fill ${quote(`words:${flags}`)}`,
    '      else',
  ];
  if (command.verbs.length > 0) {
    const verbs = command.verbs.map((verb) => verb.name).join(' ');
    lines.push(`        ((position == 0)) && _weft_fill ${quote(`words:${verbs}`)}`);
  }
  command.arguments.forEach((values, position) => {
    if (values !== null) lines.push(`        ((position == ${position})) && _weft_fill ${fill(values)}`);
  });
  return [...lines, '        :', '      fi'].join('\n');
}

function fill(values: Values): string {
  if (values === null) return quote('none');
  if ('choices' in values) return quote(`words:${values.choices.join(' ')}`);
  return quote(values.kind === 'file' ? 'file' : `name:${values.kind}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
