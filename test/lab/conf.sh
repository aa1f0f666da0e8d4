# Lifeboat's own configuration, generated; and Lifeboat's daemons.
# When the shape of a configuration file changes, this is the file to change.
# shellcheck shell=bash
C=$LAB/conf
B=$LAB/bin

lifeboat_conf() {
  mkdir -p "$C/pki" "$LAB/lifeboat"
  [ -f "$C/ring.key" ] || (umask 077; head -c 32 /dev/urandom | base64 >"$C/ring.key")
  [ -f "$C/api.token" ] || (umask 077; head -c 24 /dev/urandom | base64 | tr '+/' 'xy' >"$C/api.token")
  local n h
  for n in "${CONTROLLERS[@]}"; do controller_yaml "$n" >"$C/controller-$n.yaml"; done
  for h in $(computes); do agent_yaml "$h" >"$C/agent-$h.yaml"; done
}
controller_yaml() { # NAME
  local a n h; a=$(address "$1")
  cat <<Y
cluster: lab
controller:
  id: $1
  data_dir: $LAB/lifeboat/$1
  peers:
$(for n in "${CONTROLLERS[@]}"; do echo "    - {id: $n, address: \"$(address "$n"):7947\"}"; done)
tls: {ca: $C/pki/ca.crt, certificate: $C/pki/$1.crt, key: $C/pki/$1.key}
ring: {bind: "$a:7946", key_file: $C/ring.key, profile: $(profile)}
peer: {listen: "$a:7947"}
api: {listen: "$a:7948", token_file: $C/api.token}
nova: {cloud: lab, clouds_file: $C/clouds.yaml$([ ! -e "$C/proxy" ] || echo ", endpoints: [\"http://$CTL:$PROXY_PORT/v2.1\"]")}
policy: $(policy)
hosts:
$(for h in $(computes); do host_yaml "$h"; done)
Y
}
policy() {
  if [ -e "$C/policy" ]; then cat "$C/policy"; return; fi
  echo '{mode: auto, storage: shared, quiet_period: 20s, healthy_delay: 10s, in_flight: 20, storm: {percent: 10, window: 5s, per_hour: 1000}, flap: {limit: 0}}'
}
profile() { cat "$C/profile" 2>/dev/null || echo default; }
rack() { echo "rack$(((($(number "$1") - 1) / 3) + 1))"; } # three hosts a rack
host_yaml() { # HOST
  cat <<Y
  - name: $1
    domain: $(rack "$1")
    addresses: {management: $(address "$1")}
    bmc:
Y
  if is_ipmi "$1"; then
    echo "      - {method: ipmi, address: \"$BMC:$(bmc_port "$1")\", username: admin, password: {file: $C/bmc-password}, cipher: \"3\"}"
  else
    echo "      - {method: redfish, address: \"https://$BMC:$(bmc_port "$1")\", system: /redfish/v1/Systems/$(cat "$LAB/machines/$1/uuid"), username: admin, password: {file: $C/bmc-password}, ca: $C/bmc.crt}"
  fi
}
agent_yaml() { # HOST
  cat <<Y
host: $1
domain: $(rack "$1")
data_dir: $LAB/lifeboat/$1
ring: {bind: "$(address "$1"):7946", profile: $(profile)}
heartbeat: {bind: "$(address "$1"):0"}
services:
  - {unit: neutron-agent, check: [/usr/bin/test, "!", -e, $LAB/machines/$1/no-neutron], restart: [/bin/true]}
  - {unit: nova-compute, check: [/usr/bin/test, "!", -e, $LAB/machines/$1/no-nova-compute], restart: [/bin/true], after: neutron-agent}
controllers: [$(for n in "${CONTROLLERS[@]}"; do printf '"%s:7947", ' "$(address "$n")"; done | sed 's/, $//')]
$([ ! -e "$LAB/machines/$1/container" ] || echo "gate_socket: $LAB/machines/$1/run/gate.sock")
boot_id_file: $LAB/machines/$1/boot_id
uuid_file: $LAB/machines/$1/uuid
Y
}

# ---- a proxy that fails between Lifeboat and nova-api
PROXY_PORT=18775
proxy() { # MODE [COUNT] | off; Lifeboat goes by it from its next start on
  if [ "$1" = off ]; then
    rm -f "$C/proxy"
    stop_all proxy
    return
  fi
  echo "$1 ${2:-1000000}" >"$C/proxy.new"
  mv "$C/proxy.new" "$C/proxy"
  [ -x "$B/proxy" ] || (cd "$HERE/../.." && go build -o "$B/proxy" ./test/lab/proxy)
  alive proxy || spawn proxy lbctl "$B/proxy" -listen "$CTL:$PROXY_PORT" -to "http://$CTL:$NV" -mode "$C/proxy"
}

# ---- Lifeboat's daemons
lifeboat_build() { (cd "$HERE/../.." && go build -tags faults -o "$B/" ./cmd/lifeboat ./cmd/lifeboat-agent ./cmd/lifeboat-controller); }
lifeboat_up() {
  [ -x "$B/lifeboat-controller" ] || lifeboat_build
  lifeboat_conf
  local n h
  if [ ! -f "$C/pki/ca.crt" ]; then
    "$B/lifeboat" ca init "$C/pki" --cluster lab
    for n in "${CONTROLLERS[@]}"; do "$B/lifeboat" ca issue "$C/pki" --id "$n" --address "$(address "$n")"; done
  fi
  for n in "${CONTROLLERS[@]}"; do controller_start "$n"; done
  for n in "${CONTROLLERS[@]}"; do wait_for "$n's API" 30 in_ns "$n" bash -c "exec 3<>/dev/tcp/$(address "$n")/7948"; done
  wait_for "a leader" 30 lifeboat_leads
  for h in $(computes); do
    [ -e "$LAB/lifeboat/$h/enrolled" ] || lifeboat_enroll "$h"
    rm -f "$LAB/machines/$h/no-agent"
    if [ "$(machine "$h" status)" = on ]; then machine "$h" start; fi
  done
}
controller_start() {
  mkdir -p "$LAB/lifeboat/$1"
  alive "lifeboat-$1" || spawn "lifeboat-$1" "$1" env LIFEBOAT_CRASH_FILE="$LAB/crash" "$B/lifeboat-controller" --config "$C/controller-$1.yaml"
}
lifeboat_leads() { lifeboat_cli status | grep -q writable; }
lifeboat_cli() { # ARGS...: the command line of an operator, on the first controller
  in_ns lbc1 env LIFEBOAT_API="https://$(address lbc1):7948" LIFEBOAT_CA="$C/pki/ca.crt" LIFEBOAT_TOKEN_FILE="$C/api.token" \
    "$B/lifeboat" "$@"
}
lifeboat_enroll() { # HOST
  mkdir -p "$LAB/lifeboat/$1"
  (umask 077; lifeboat_cli token create "$1" >"$LAB/lifeboat/$1/token")
  in_ns "$1" "$B/lifeboat" enroll --config "$C/agent-$1.yaml" --controller "$(address lbc1):7947" \
    --token-file "$LAB/lifeboat/$1/token"
  touch "$LAB/lifeboat/$1/enrolled"
}
lifeboat_down() {
  local h n agents=() until=$((SECONDS + 15))
  for h in $(computes); do
    touch "$LAB/machines/$h/no-agent"
    n=$(cat "$LAB/machines/$h/lifeboat-agent.service" 2>/dev/null || true)
    if is_running "$n" lifeboat-agent; then kill -TERM "$n"; agents+=("$n"); fi
  done
  # An agent that is still stopping would be taken for one that runs by the next `up`.
  for n in "${agents[@]}"; do
    while is_running "$n" lifeboat-agent && [ $SECONDS -lt $until ]; do sleep 0.1; done
    if is_running "$n" lifeboat-agent; then kill -KILL "$n"; fi
  done
  stop_all "${CONTROLLERS[@]/#/lifeboat-}"
}
