# The daemon and the lab of scripts/quickstart: where they live, how they start, how they go away.
#
# Sourced after install.sh; not a program. A file `quickstart` in the state directory says that the daemon of that
# directory is ours, and it holds the names that were chosen; nothing is ever stopped or removed without it.
# shellcheck shell=sh

# shellcheck disable=SC2034 # used by scripts/quickstart
USUAL_SOCKET=/run/weft/weft.sock

# use_places RUN_DIR STATE_DIR: sets the paths that everything below uses.
use_places() {
  RUN_DIR=$1
  STATE_DIR=$2
  SOCKET=$RUN_DIR/weft.sock
  PID_FILE=$RUN_DIR/quickstart.pid
  MARKER=$STATE_DIR/quickstart
}

# Ours already, or free: no daemon answers there and no state of somebody else's lies there.
are_places_usable() {
  [ -e "$MARKER" ] && return 0
  [ -S "$SOCKET" ] && curl --silent --max-time 2 --unix-socket "$SOCKET" http://weft/v1/status >/dev/null && return 1
  [ -z "$(ls -A "$STATE_DIR" 2>/dev/null)" ]
}

choose_places() {
  use_places /run/weft /var/lib/weft
  if ! are_places_usable; then
    use_places /run/weft-quickstart /var/lib/weft-quickstart
    are_places_usable || fail "$STATE_DIR is in use but not by a quickstart (look at it and move it away)"
    say "Another weft uses /run/weft or /var/lib/weft, so this one takes $RUN_DIR and $STATE_DIR."
  fi
  mkdir -p "$RUN_DIR" "$STATE_DIR"
  : >>"$MARKER"
}

# The command line tool from this checkout, talking to our daemon.
weft() {
  node "$WEFT_ROOT/dist/daemon/weft.js" --socket "$SOCKET" "$@"
}

# True when the process of the pid file is a weftd that serves our socket (and not whoever got its number later).
is_daemon_running() {
  [ -s "$PID_FILE" ] || return 1
  { tr '\0' ' ' <"/proc/$(cat "$PID_FILE")/cmdline"; } 2>/dev/null | grep -q "weftd.js --socket $SOCKET "
}

is_daemon_ready() {
  curl --silent --fail --max-time 2 --unix-socket "$SOCKET" http://weft/v1/status >/dev/null 2>&1
}

start_daemon() {
  if is_daemon_running && is_daemon_ready; then
    say "The daemon runs already (process $(cat "$PID_FILE"))."
    return 0
  fi
  printf '\n%s$ node dist/daemon/weftd.js --socket %s --state-dir %s --run-dir %s &%s\n' \
    "$BOLD" "$SOCKET" "$STATE_DIR" "$RUN_DIR" "$PLAIN"
  setsid node "$WEFT_ROOT/dist/daemon/weftd.js" --socket "$SOCKET" --state-dir "$STATE_DIR" --run-dir "$RUN_DIR" \
    >>"$RUN_DIR/weftd.log" 2>&1 </dev/null &
  echo $! >"$PID_FILE"
  waited=0
  until is_daemon_ready; do
    is_daemon_running || [ "$waited" -lt 5 ] || daemon_failed 'the daemon ended at once'
    [ "$waited" -lt 100 ] || daemon_failed 'the daemon does not answer after 10 s'
    sleep 0.1
    waited=$((waited + 1))
  done
  say "ready (process $(cat "$PID_FILE"), log $RUN_DIR/weftd.log)"
}

daemon_failed() {
  tail -n 10 "$RUN_DIR/weftd.log" | sed 's/^/   | /' >&2
  fail "$1 (its last words are above; the log is $RUN_DIR/weftd.log)"
}

# stop_daemon: SIGTERM, and SIGKILL after ten seconds.
stop_daemon() {
  is_daemon_running || return 0
  daemon=$(cat "$PID_FILE")
  kill "$daemon"
  waited=0
  while is_daemon_running && [ "$waited" -lt 100 ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  if is_daemon_running; then kill -9 "$daemon"; fi
}

# choose_names: compartment names that are free on this machine, and subnets that the host has no route to. They are
# remembered in the marker, so that a second run means the same lab.
choose_names() {
  if [ -s "$MARKER" ]; then
    # shellcheck source=/dev/null
    . "$MARKER"
    return 0
  fi
  prefix=''
  for name in web app db outside; do
    if [ -e "/run/netns/$name" ]; then prefix=quickstart-; fi
  done
  number=80
  while ip -4 route show table all | grep -Eq "(^| )10\.($number|$((number + 1)))\." ||
    ip -6 route show table all | grep -Eq "(^| )fd00:($number|$((number + 1))):"; do
    number=$((number + 10))
    [ "$number" -lt 250 ] || fail 'no free 10.x.0.0/24 subnet on this machine'
  done
  cat >"$MARKER" <<NAMES
WEB=${prefix}web APP=${prefix}app DB=${prefix}db WORLD=${prefix}outside WORLD4=203.0.113.7
FRONT4=10.$number.0 FRONT6=fd00:$number
BACK4=10.$((number + 1)).0 BACK6=fd00:$((number + 1))
NAMES
  # shellcheck source=/dev/null
  . "$MARKER"
}

lab_exists() {
  weft endpoint show db-back >/dev/null 2>&1
}

# clean_everything: in both possible places, everything that a quickstart made, and nothing else.
clean_everything() {
  found=no
  for name in weft weft-quickstart; do
    use_places "/run/$name" "/var/lib/$name"
    if [ -e "$MARKER" ]; then
      found=yes
      clean_places
    fi
  done
  if [ "$found" = no ]; then say 'There is no quickstart lab on this machine.'; fi
}

# The daemon itself removes networks, namespaces and TAPs, for it alone knows which are its own. One that is not
# running is started for that.
clean_places() {
  heading "Removing the lab of $RUN_DIR"
  install_tools curl:curl jq:jq
  install_node
  if ! is_daemon_running || ! is_daemon_ready; then start_daemon; fi
  for noun in endpoint compartment network; do
    weft --json "$noun" list | jq -r '.[].name' | while IFS= read -r name; do
      case $noun in
        endpoint) set -- weft endpoint delete "$name" ;;
        *) set -- weft "$noun" delete "$name" --force ;;
      esac
      printf '%s$ %s%s\n' "$BOLD" "$*" "$PLAIN"
      "$@" || exit 1
    done || fail "the $noun could not be removed (the daemon still runs; see $RUN_DIR/weftd.log)"
  done
  stop_daemon
  # shellcheck source=/dev/null
  if [ -s "$MARKER" ]; then . "$MARKER"; fi
  if [ -n "${WORLD:-}" ] && [ -e "/run/netns/$WORLD" ]; then ip netns delete "$WORLD"; fi
  rm -rf "$STATE_DIR" "$RUN_DIR"
  say "The daemon is stopped; $RUN_DIR and $STATE_DIR are gone."
}
