# Where an installed weft lies, for scripts/install and scripts/uninstall.
#
# Sourced after install.sh; not a program. Every path begins with DESTDIR, which is empty unless a package is built;
# what is written into files (a unit, a program that starts another) never has it.
# shellcheck shell=sh
# shellcheck disable=SC2034 # used by the scripts that source this

USUAL_PREFIX=/usr/local

# take_places "$@": reads --prefix and --destdir; other options go to take_option of the caller, which says 1 when it
# does not know them.
take_places() {
  PREFIX=$USUAL_PREFIX
  DESTDIR=''
  while [ $# -gt 0 ]; do
    case $1 in
      --prefix=*) PREFIX=${1#*=} ;;
      --destdir=*) DESTDIR=${1#*=} ;;
      --prefix | --destdir)
        [ $# -gt 1 ] || fail "$1 needs a directory (see $0 --help)"
        if [ "$1" = --prefix ]; then PREFIX=$2; else DESTDIR=$2; fi
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) take_option "$1" || {
        usage >&2
        exit 2
      } ;;
    esac
    shift
  done
  case $PREFIX in /*) ;; *) fail "--prefix $PREFIX is no absolute path" ;; esac
  case $DESTDIR in '' | /*) ;; *) fail "--destdir $DESTDIR is no absolute path" ;; esac
  case $PREFIX$DESTDIR in *[!A-Za-z0-9_./+-]*) fail 'the paths may have letters, digits and _ . / + - only' ;; esac
  PREFIX=${PREFIX%/}
  DESTDIR=${DESTDIR%/}
  set_places
}

set_places() {
  LIB=$PREFIX/lib/weft
  APP=$LIB/app
  BIN=$PREFIX/bin
  BASH_COMPLETION=$PREFIX/share/bash-completion/completions/weft
  ZSH_COMPLETION=$PREFIX/share/zsh/site-functions/_weft
  CONFIG=/etc/weft/weft.yaml
  # systemd looks below /usr and /usr/local by itself; for any other prefix the files go where an administrator puts them.
  case $PREFIX in
    /usr | /usr/local)
      UNIT=$PREFIX/lib/systemd/system/weftd.service
      SYSUSERS=$PREFIX/lib/sysusers.d/weft.conf
      TMPFILES=$PREFIX/lib/tmpfiles.d/weft.conf
      ;;
    *)
      UNIT=/etc/systemd/system/weftd.service
      SYSUSERS=/etc/sysusers.d/weft.conf
      TMPFILES=/etc/tmpfiles.d/weft.conf
      ;;
  esac
}

# systemd manages this machine, and it is this machine that is meant.
is_systemd_here() {
  [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1
}

# daemon_answers: something serves the usual socket.
daemon_answers() {
  "$BIN/weft" --socket /run/weft/weft.sock status >/dev/null 2>&1
}

# wait_for_daemon: up to ten seconds.
wait_for_daemon() {
  waited=0
  until daemon_answers; do
    [ "$waited" -lt 100 ] || return 1
    sleep 0.1
    waited=$((waited + 1))
  done
}
