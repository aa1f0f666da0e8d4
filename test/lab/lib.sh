# Names, addresses and small helpers that every part of the lab uses.
# Sourced by `lab` and by `machine`; HERE is test/lab.
# shellcheck shell=bash disable=SC2034
LAB=${LAB:-/tmp/lifeboat-lab}
TOOLS=${LAB_TOOLS:-/opt/lifeboat-lab} # the virtual environment with sushy-tools
PY=/usr/bin/python3                   # Debian's, which sees Debian's Nova
NET=10.77.0
CTL=$NET.10 BMC=$NET.100
KS=15000 GL=19292 PL=18778 NV=18774 NE=19696 DB_PORT=13306 MQ_PORT=15673
PW=lab-secret
CONTROLLERS=(lbc1 lbc2 lbc3)

computes() { [ -f "$LAB/computes" ] && cat "$LAB/computes" || true; } # the hosts of the last `up`
number() { echo $((10#${1//[^0-9]/})); }                              # cmp07 -> 7
address() { # NAMESPACE -> its address
  case $1 in
    lbctl) echo $CTL ;;
    lbc*) echo "$NET.$((10 + $(number "$1")))" ;;
    cmp*) echo "$NET.$((20 + $(number "$1")))" ;;
    lbbmc) echo $BMC ;;
    *) die "no such namespace: $1" ;;
  esac
}
is_ipmi() { [ $(($(number "$1") % 2)) = 1 ]; } # odd hosts speak IPMI, even ones Redfish
bmc_port() { if is_ipmi "$1"; then echo $((16200 + $(number "$1"))); else echo $((16300 + $(number "$1"))); fi; }

say() { printf '%s %s\n' "$(date +%T)" "$*" >&2; }
die() { say "$*"; exit 1; }
in_ns() { local ns=$1; shift; nsenter "--net=/run/netns/$ns" -- "$@"; } # lighter than ip netns exec

# Whether process PID lives and was started as this (part of its) command line.
# kill -0 would not do: a zombie answers it, and nobody reaps orphans here.
is_running() { # PID TEXT
  [ -n "$1" ] && { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null | grep -qF -- "$2"
}
spawn() { # NAME NAMESPACE COMMAND...: in a session of its own; the pid in run/NAME
  local name=$1 ns=$2; shift 2
  setsid nsenter "--net=/run/netns/$ns" -- "$@" >>"$LAB/log/$name.log" 2>&1 </dev/null &
  echo $! >"$LAB/run/$name"
}
pid_of() { cat "$LAB/run/$1" 2>/dev/null || true; }
alive() { local p; p=$(pid_of "$1"); [ -n "$p" ] && is_running "$p" ""; } # not even a zombie has a command line
signal() { # NAME SIGNAL: to its whole session
  local p; p=$(pid_of "$1"); [ -n "$p" ] || return 0
  pkill "-$2" -s "$p" 2>/dev/null || true
}
wait_for() { # WHAT SECONDS COMMAND...
  local what=$1 end=$((SECONDS + $2)); shift 2
  while [ $SECONDS -lt $end ]; do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  say "gave up waiting for $what"; return 1
}
