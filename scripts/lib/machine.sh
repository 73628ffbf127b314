# A small machine with a systemd of its own, for scripts/try-service: a debootstrap tree booted by systemd-nspawn, with
# network, processes and mounts of its own. What it writes is kept in memory and is gone when it ends.
#
# Sourced after install.sh; not a program. MACHINE_DIR is made by make_machine and removed by end_machine.
# shellcheck shell=sh

MACHINE_PACKAGES=systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,tcpdump,nftables,curl,util-linux,libstdc++6,kmod
MACHINE_DIR=''
MACHINE_PID=''
CHECKS=0
FAILURES=0

# make_machine [TREE]: the tree (made only if it is not there) and a copy of this checkout for it.
make_machine() {
  MACHINE_DIR=$(mktemp -d /var/tmp/weft-try-XXXXXX) || fail 'cannot make a directory in /var/tmp'
  MACHINE_TREE=${1:-$MACHINE_DIR/tree}
  if ! [ -x "$MACHINE_TREE/usr/lib/systemd/systemd" ]; then
    step "debootstrap to $MACHINE_TREE" debootstrap --variant=minbase "--include=$MACHINE_PACKAGES" \
      "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$MACHINE_TREE"
  fi
  step 'copying the checkout' copy_checkout "$MACHINE_DIR/weft"
}

# Node.js comes from this machine: the one of the distribution may be too old, and the machine has no network.
copy_checkout() {
  mkdir -p "$1/build" "$MACHINE_DIR/bin" &&
    cp -a scripts systemd package.json package-lock.json README.md LICENSE node_modules dist "$1/" &&
    cp build/weft-native.node "$1/build/" &&
    cp "$(node -p process.execPath)" "$MACHINE_DIR/bin/node"
}

# boot_machine: resolves when its systemd has started everything. It may use BPF, with which systemd enforces
# DeviceAllow=; it would go on without.
boot_machine() {
  SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$MACHINE_TREE" --volatile=overlay --boot \
    --register=no --keep-unit --private-network --capability=CAP_BPF,CAP_PERFMON --system-call-filter=bpf \
    --console=read-only --machine="weft-try-$$" --bind=/dev/net/tun --bind="$MACHINE_DIR/weft:/root/weft" \
    --bind-ro="$MACHINE_DIR/bin/node:/usr/bin/node" >"$MACHINE_DIR/console" 2>&1 </dev/null &
  MACHINE_PID=$!
  waited=0
  until inside 'systemctl is-system-running --wait' 2>/dev/null | grep -Eq 'running|degraded'; do
    kill -0 "$MACHINE_PID" 2>/dev/null || fail "systemd-nspawn does not boot here: $(tail -n 3 "$MACHINE_DIR/console")"
    [ "$waited" -lt 300 ] || fail "the machine did not come up within 30 s: $(tail -n 3 "$MACHINE_DIR/console")"
    sleep 0.1
    waited=$((waited + 1))
  done
  # systemd-nspawn hides the boot id of the kernel with a mount, which a service with /proc of its own does not see: what
  # root and the service make would seem to be of different boots.
  inside 'umount /proc/sys/kernel/random/boot_id'
  say "booted: $(inside '. /etc/os-release; echo "$PRETTY_NAME, $(systemctl --version | head -n 1)"')"
}

# inside LINE: a line of shell in the machine, as root, with a fresh environment.
inside() {
  leader=$(pgrep -P "$MACHINE_PID" | head -n 1)
  [ -n "$leader" ] || return 1
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -c "$1"
}

# check SENTENCE COMMAND...: says whether it holds. The last line of output is shown, all of it when it does not hold.
check() {
  sentence=$1
  shift
  CHECKS=$((CHECKS + 1))
  if check_output=$("$@" 2>&1 </dev/null); then
    printf 'ok      %s\n' "$sentence"
    printf '%s\n' "$check_output" | sed -n '$s/^\(..*\)$/          \1/p'
    return 0
  fi
  FAILURES=$((FAILURES + 1))
  printf '%sFAILED%s  %s\n' "$RED" "$PLAIN" "$sentence"
  printf '%s\n' "$check_output" | tail -n 25 | sed 's/^/   | /'
}

end_machine() {
  if [ -n "$MACHINE_PID" ]; then
    inside 'systemctl poweroff --force --no-block' >/dev/null 2>&1
    waited=0
    while kill -0 "$MACHINE_PID" 2>/dev/null && [ "$waited" -lt 150 ]; do
      sleep 0.1
      waited=$((waited + 1))
    done
    kill -KILL "$MACHINE_PID" 2>/dev/null
    wait "$MACHINE_PID" 2>/dev/null
  fi
  if [ -n "$MACHINE_DIR" ]; then rm -rf "$MACHINE_DIR"; fi
}
