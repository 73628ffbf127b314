# Commands that a tour shows before it runs them, as a person would type them.
#
# Sourced after install.sh; not a program. The caller sets RUN_DIR, where the logs of what the tour started lie.
# shellcheck shell=sh

# print_command PROMPT WORD...: what a person would type there.
print_command() {
  printf '\n%s%s$' "$BOLD" "$1"
  shift
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@%+,-]* | '') printf " '%s'" "$word" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
  printf '%s\n' "$PLAIN"
}

# shown COMMAND...: prints the command, then runs it.
shown() {
  print_command '' "$@"
  "$@"
}

# must COMMAND...: like shown, but the tour ends when the command fails.
must() {
  shown "$@" || fail "the command above failed (logs are in $RUN_DIR; $0 --clean removes what was made)"
}
