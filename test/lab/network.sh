# One bridge in a namespace of its own, and a namespace for every machine.
# Cuts are nftables rules on the bridge: they are the network's, not the host's,
# and therefore outlive a host's reboot, as a broken cable does.
# shellcheck shell=bash

network_up() { # NAMESPACE...
  if [ ! -e /run/netns/lbsw ]; then
    ip netns add lbsw
    ip -n lbsw link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0
    ip -n lbsw link set br0 up
  fi
  local n
  for n; do
    [ ! -e "/run/netns/$n" ] || continue
    ip netns add "$n"
    ip -n lbsw link add "p$n" type veth peer name eth0 netns "$n"
    ip -n "$n" addr add "$(address "$n")/24" dev eth0
    ip -n "$n" link set lo up
    ip -n "$n" link set eth0 up
    ip -n lbsw link set "p$n" master br0
    case $n in cmp*) ;; *) ip -n lbsw link set "p$n" up ;; esac # a compute's comes up with its power
  done
}
network_down() {
  local n
  for n in $(ip netns list | awk '{print $1}' | grep -E '^(lbctl|lbc[0-9]+|lbbmc|cmp[0-9]+|lbsw)$'); do ip netns del "$n"; done
}
cut() { # NAME: a table of that name with the rules of stdin, in the path between the bridge's ports
  in_ns lbsw nft -f - <<R
table bridge $1
delete table bridge $1
table bridge $1 {
  chain cut {
    type filter hook forward priority 0;
$(cat)
  }
}
R
}
uncut() { in_ns lbsw nft delete table bridge "$1" 2>/dev/null || true; }
cuts() { in_ns lbsw nft list tables bridge 2>/dev/null | awk '{print $3}'; }
set_of() { local n out=; for n; do out+="$(address "$n"), "; done; echo "{ ${out%, } }"; } # nft set of addresses
both_ways() { # SET SET: no IP between these two (as between racks: they hardly share ARP)
  printf 'ip saddr %s ip daddr %s drop\nip saddr %s ip daddr %s drop\n' "$1" "$2" "$2" "$1"
}
