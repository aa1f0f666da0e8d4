# The faults, as verbs. Each can be healed; power, a boot or `lab reset` heals what
# it would heal in a real host (a hang, a killed daemon).
# shellcheck shell=bash
M=$LAB/machines

all_stop() { local p; p=$(ip netns pids "$2"); [ -z "$p" ] || kill "-$1" $p 2>/dev/null || true; } # SIGNAL HOST
kill_service() { local p; p=$(cat "$M/$2/$1.service" 2>/dev/null) && kill -KILL "$p" || true; }
table() { echo "${1//-/_}_${2//[^a-z0-9]/_}"; }
others() { # HOST,HOST... -> the computes that are not among them
  local h; for h in $(computes); do case ,$1, in *,"$h",*) ;; *) echo "$h" ;; esac; done
}

fault() { # VERB HOST
  local verb=$1 h=${2:-} a
  case $verb in
    power-cut) machine "$h" off ;;
    hang) all_stop STOP "$h"; touch "$M/$h/hung"; machine "$h" link; all_stop STOP "$h" ;;
    wedge) all_stop STOP "$h"; sleep 0.1; all_stop STOP "$h" ;;
    net-cut) touch "$M/$h/cable-out"; machine "$h" link ;;
    agent-kill) touch "$M/$h/no-agent"; kill_service lifeboat-agent "$h" ;;
    compute-kill) touch "$M/$h/no-nova-compute"; kill_service nova-compute "$h" ;;
    filter) a=$(address "$h") # probes find no answer; what the host itself begins goes on
      printf 'ip daddr %s icmp type echo-request drop\nip daddr %s tcp flags & (syn|ack) == syn drop\n' "$a" "$a" | cut "$(table filter "$h")" ;;
    ring-cut) a=$(address "$h")
      for d in saddr daddr; do for p in udp tcp; do
        printf 'ip %s %s %s dport 7946 drop\nip %s %s %s sport 7946 drop\n' $d "$a" $p $d "$a" $p
      done; done | cut "$(table ring_cut "$h")" ;;
    split) local some rest # HOST,HOST... [--controllers]
      # shellcheck disable=SC2046
      some=$(set_of ${h//,/ }); rest=$(set_of $(others "$h") $([ "${3:-}" != --controllers ] || echo "${CONTROLLERS[@]}"))
      both_ways "$some" "$rest" | cut split ;;
    ctl-cut) # shellcheck disable=SC2046
      both_ways "$(set_of "${CONTROLLERS[@]}")" "$(set_of $(computes))" | cut ctl_cut ;;
    controller-cut) ip -n lbsw link set "p$h" down ;;
    controller-kill) signal "lifeboat-$h" KILL ;;
    controller-stop) signal "lifeboat-$h" STOP ;;
    bmc-dead) signal "bmc-$h" STOP ;;
    bmc-cut) for p in tcp udp; do printf 'ip daddr %s %s dport %s drop\n' $BMC $p "$(bmc_port "$h")"; done | cut "$(table bmc_cut "$h")" ;;
    bmc-refuse) bmc_password "$h" another-secret; touch "$LAB/bmc/$h/other-password" ;;
    bmc-lies) touch "$M/$h/bmc-lies" ;;
    rabbit-stop) signal rabbit STOP ;;
    nova-stop) signal nova-api STOP ;;
    reboot) machine "$h" reboot "${3:-20}" ;;
    *) die "no such fault: $verb" ;;
  esac
}
heal() { # VERB HOST
  local verb=$1 h=${2:-}
  case $verb in
    power-cut) machine "$h" on ;;
    hang) rm -f "$M/$h/hung"; all_stop CONT "$h"; machine "$h" link ;;
    wedge) all_stop CONT "$h" ;;
    net-cut) rm -f "$M/$h/cable-out"; machine "$h" link ;;
    agent-kill) rm -f "$M/$h/no-agent"; machine "$h" start ;;
    compute-kill) rm -f "$M/$h/no-nova-compute"; machine "$h" start ;;
    filter | ring-cut | bmc-cut) uncut "$(table "$verb" "$h")" ;;
    split | ctl-cut) uncut "${verb//-/_}" ;;
    controller-cut) ip -n lbsw link set "p$h" up ;;
    controller-kill) controller_start "$h" ;;
    controller-stop) signal "lifeboat-$h" CONT ;;
    bmc-dead) signal "bmc-$h" CONT ;;
    bmc-refuse) bmc_password "$h" "$(cat "$LAB/conf/bmc-password")"; rm -f "$LAB/bmc/$h/other-password" ;;
    bmc-lies) rm -f "$M/$h/bmc-lies" ;;
    rabbit-stop) signal rabbit CONT ;;
    nova-stop) signal nova-api CONT ;;
    reboot) ;;
    *) die "no such fault: $verb" ;;
  esac
}
heal_all() { # everything works again, every host is on and runs all it should
  local t h n
  for t in $(cuts); do uncut "$t"; done
  for n in rabbit nova-api; do signal "$n" CONT; done
  for n in "${CONTROLLERS[@]}"; do ip -n lbsw link set "p$n" up; signal "lifeboat-$n" CONT; done
  for h in $(computes); do
    signal "bmc-$h" CONT
    [ ! -e "$LAB/bmc/$h/other-password" ] || heal bmc-refuse "$h"
    rm -f "$M/$h"/{bmc-lies,cable-out,no-nova-compute,no-agent}
    if [ -e "$M/$h/hung" ]; then rm -f "$M/$h/hung"; fi
    all_stop CONT "$h"
    machine "$h" on; machine "$h" link; machine "$h" start
  done
  for h in $(computes); do wait_for "$h to be ready" 60 compute_ready "$h"; done
}
compute_ready() { # whether its nova-compute, since it was started last, has cleaned up and begun to work
  awk '/^--- starting/ {ok=0} /Looking for unclaimed/ {ok=1} END {exit !ok}' "$LAB/log/nova-compute-$1.log"
}
