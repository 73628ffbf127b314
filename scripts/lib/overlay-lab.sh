# The hosts of scripts/lab-overlay: network namespaces on one Ethernet segment, each with a daemon of its own, and an etcd.
#
# Sourced after install.sh and tour.sh; not a program. The file `lab-overlay` in STATE_DIR says that everything below was made by the
# lab, and holds the names that were chosen; nothing is ever stopped or removed without it.
# shellcheck shell=sh

RUN_DIR=/run/weft-overlay
STATE_DIR=/var/lib/weft-overlay
MARKER=$STATE_DIR/lab-overlay
# Addresses for documentation (RFC 5737): the segment exists between these namespaces only.
SEGMENT=192.0.2
ETCD_URL=http://$SEGMENT.254:2379

# weft_of HOST...: the command line tool from this checkout, talking to the daemon of that host.
weft_of() {
  host=$1
  shift
  node "$WEFT_ROOT/dist/daemon/weft.js" --socket "$RUN_DIR/$host/weft.sock" "$@"
}

# on HOST WORD...: `weft WORD...` on that host, shown first; the tour ends when it fails.
on() {
  host=$1
  shift
  print_command "$host" weft "$@"
  weft_of "$host" "$@" || fail "the command above failed (logs are in $RUN_DIR; $0 --clean removes what was made)"
}

# wait_until TENTHS WHAT COMMAND...: until the command succeeds.
wait_until() {
  waited=0
  limit=$1
  what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$waited" -lt "$limit" ] || fail "waited $((limit / 10)) s for $what in vain (logs are in $RUN_DIR)"
    sleep 0.1
    waited=$((waited + 1))
  done
}

# choose_names UNDERLAY CONTROL: free names of namespaces, and a subnet that this machine has no route to. They are remembered in the
# marker, so that a second run means the same lab.
choose_names() {
  mkdir -p "$RUN_DIR" "$STATE_DIR"
  if [ -s "$MARKER" ]; then return 0; fi
  prefix=''
  for name in wire host1 host2 host3 web db; do
    if [ -e "/run/netns/$name" ]; then prefix=lab-overlay-; fi
  done
  number=90
  while ip -4 route show table all | grep -Eq "(^| )10\.$number\." ||
    ip -6 route show table all | grep -Eq "(^| )fd00:$number:"; do
    number=$((number + 1))
    [ "$number" -lt 250 ] || fail 'no free 10.x.0.0/24 subnet on this machine'
  done
  cat >"$MARKER" <<NAMES
PREFIX=$prefix WEB=${prefix}web DB=${prefix}db UNDERLAY=$1 CONTROL=$2 BLUE4=10.$number.0 BLUE6=fd00:$number
NAMES
}

# make_wire: the physical network between the hosts.
make_wire() {
  must ip netns add "${PREFIX}wire"
  must ip -n "${PREFIX}wire" link add wire type bridge
  must ip -n "${PREFIX}wire" address add "$SEGMENT.254/24" dev wire
  must ip -n "${PREFIX}wire" link set wire up
  ip -n "${PREFIX}wire" link set lo up
}

# make_host NUMBER: a host with one network card on the wire.
make_host() {
  must ip netns add "${PREFIX}host$1"
  must ip -n "${PREFIX}wire" link add "port$1" type veth peer name eth0 netns "${PREFIX}host$1"
  must ip -n "${PREFIX}wire" link set "port$1" master wire up
  must ip -n "${PREFIX}host$1" address add "$SEGMENT.$1/24" dev eth0
  ip -n "${PREFIX}host$1" link set lo up
  must ip -n "${PREFIX}host$1" link set eth0 up
}

# vtep_of NUMBER: address of the VTEP: the host's own over sockets, one that nobody has over a TAP.
vtep_of() {
  if [ "$UNDERLAY" = tap ]; then echo "$SEGMENT.$((100 + $1))"; else echo "$SEGMENT.$1"; fi
}

# peers_of NUMBER: options that name the VTEPs of the other hosts, also of the one that is still to come.
peers_of() {
  for other in 1 2 3; do
    [ "$other" = "$1" ] || printf -- '--peer %s ' "$(vtep_of "$other")"
  done
}

# start_in NAMESPACE NAME COMMAND...: in the background, its process id in NAME.pid.
start_in() {
  namespace=$1
  name=$2
  shift 2
  setsid nsenter --net="/run/netns/$namespace" -- "$@" >>"$RUN_DIR/$name.log" 2>&1 </dev/null &
  echo $! >"$RUN_DIR/$name.pid"
}

start_etcd() {
  mkdir -p "$STATE_DIR/etcd"
  print_command wire etcd --listen-client-urls "$ETCD_URL"
  start_in "${PREFIX}wire" etcd etcd --data-dir "$STATE_DIR/etcd" --listen-client-urls "$ETCD_URL" \
    --advertise-client-urls "$ETCD_URL" --listen-peer-urls http://127.0.0.1:2380
  wait_until 300 etcd nsenter --net="/run/netns/${PREFIX}wire" -- curl --silent --fail --noproxy '*' --max-time 2 "$ETCD_URL/health"
  say "etcd serves $ETCD_URL"
}

# start_host NUMBER: its daemon, with a configuration that says where its VTEP is and, with etcd, which cluster it belongs to.
start_host() {
  directory=$RUN_DIR/host$1
  mkdir -p "$directory"
  {
    if [ "$CONTROL" = etcd ]; then printf 'cluster: { etcd: ["%s"], host: host%s, leaseSeconds: 3 }\n' "$ETCD_URL" "$1"; fi
    printf 'overlay: { underlay: %s, vtep: %s }\n' "$UNDERLAY" "$(vtep_of "$1")"
  } >"$directory/weft.yaml"
  print_command "host$1" cat weft.yaml
  cat "$directory/weft.yaml"
  print_command "host$1" weftd --config weft.yaml
  start_in "${PREFIX}host$1" "host$1" node "$WEFT_ROOT/dist/daemon/weftd.js" --config "$directory/weft.yaml" \
    --socket "$directory/weft.sock" --state-dir "$STATE_DIR/host$1" --run-dir "$directory"
  wait_until 200 "the daemon of host$1" weft_of "host$1" status
  say "ready (process $(cat "$RUN_DIR/host$1.pid"), log $RUN_DIR/host$1.log)"
}

# is_ours NAME: whether the process of NAME.pid still is what was started (and not whoever got its number later).
is_ours() {
  [ -s "$RUN_DIR/$1.pid" ] || return 1
  { tr '\0' ' ' <"/proc/$(cat "$RUN_DIR/$1.pid")/cmdline"; } 2>/dev/null | grep -q "$STATE_DIR"
}

# stop NAME SIGNAL: and SIGKILL after ten seconds.
stop() {
  is_ours "$1" || return 0
  kill "-$2" "$(cat "$RUN_DIR/$1.pid")"
  waited=0
  while is_ours "$1" && [ "$waited" -lt 100 ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  if is_ours "$1"; then kill -9 "$(cat "$RUN_DIR/$1.pid")"; fi
}

# clean_lab: everything that the lab made, and nothing else. The daemons remove what is theirs, as long as they run.
clean_lab() {
  if ! [ -s "$MARKER" ]; then
    say 'There is no overlay lab on this machine.'
    return 0
  fi
  # shellcheck source=/dev/null
  . "$MARKER"
  heading 'Removing the overlay lab'
  for number in 1 2 3; do
    if is_ours "host$number"; then
      weft_of "host$number" network delete blue --force 2>/dev/null
      for compartment in "$WEB" "$DB"; do weft_of "host$number" compartment delete "$compartment" --force 2>/dev/null; done
      stop "host$number" TERM
    fi
  done
  stop etcd TERM
  for name in "${PREFIX}host1" "${PREFIX}host2" "${PREFIX}host3" "${PREFIX}wire" "$WEB" "$DB"; do
    if [ -e "/run/netns/$name" ]; then ip netns delete "$name"; fi
  done
  rm -rf "$STATE_DIR" "$RUN_DIR"
  say "The daemons are stopped; $RUN_DIR and $STATE_DIR are gone."
}
