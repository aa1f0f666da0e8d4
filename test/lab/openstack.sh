# A real OpenStack control plane in the namespace lbctl, from Debian's own packages:
# MariaDB, RabbitMQ, Keystone, Glance, Placement, Neutron and Nova.
#
# The database schemas take most of a first start. They are made once, by `seed`, and
# every `lab up` begins with a copy: so it is quick, and always the same clean cloud.
# shellcheck shell=bash
SEED=$TOOLS/seed
NOVA_CONF=$LAB/conf/nova/nova.conf

packages() {
  local policy=/usr/sbin/policy-rc.d made=
  export DEBIAN_FRONTEND=noninteractive
  # no daemon of these packages shall start on its own
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-unsafe-io nova-api nova-conductor nova-scheduler nova-compute keystone \
    placement-api glance-api neutron-server rabbitmq-server mariadb-server uwsgi-core uwsgi-plugin-python3 \
    python3-pymysql python3-keystoneclient openipmi ipmitool nftables iproute2 iputils-ping procps python3-venv curl openssl
  [ -z "$made" ] || rm -f $policy
  [ -x "$TOOLS/bin/python" ] || $PY -m venv "$TOOLS"
  "$TOOLS/bin/pip" install -q sushy-tools==2.2.0
}

# ---- configuration files
db() { echo "mysql+pymysql://lab:$PW@$CTL:$DB_PORT/$1?charset=utf8"; }
rabbit_url() { echo "rabbit://lab:$PW@$CTL:$MQ_PORT/"; }
as_user() { # SECTION USER [LINES]: how a service signs in to Keystone
  cat <<C
[$1]
auth_url = http://$CTL:$KS
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = $2
password = $PW
region_name = lab
${3:-}
C
}
authtoken() { as_user keystone_authtoken "$1" "www_authenticate_uri = http://$CTL:$KS"; }

openstack_conf() {
  local c=$LAB/conf h
  mkdir -p "$c"/{nova,placement} "$LAB"/state/{nova,neutron}
  cat >"$c/keystone.conf" <<C
[database]
connection = $(db keystone)
[token]
provider = fernet
[fernet_tokens]
key_repository = $LAB/keys/fernet
[credential]
key_repository = $LAB/keys/credential
C
  cat >"$c/glance.conf" <<C
[DEFAULT]
bind_host = $CTL
bind_port = $GL
workers = 0
enabled_backends = file:file
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $LAB/image
[os_glance_staging_store]
filesystem_store_datadir = $LAB/state/glance-staging
[os_glance_tasks_store]
filesystem_store_datadir = $LAB/state/glance-tasks
[database]
connection = $(db glance)
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[oslo_limit]
$(authtoken glance)
C
  cat >"$c/placement/placement.conf" <<C
[api]
auth_strategy = keystone
[placement_database]
connection = $(db placement)
$(authtoken placement)
C
  cat >"$c/neutron.conf" <<C
[DEFAULT]
bind_host = $CTL
bind_port = $NE
core_plugin = ml2
service_plugins = router,port_forwarding
auth_strategy = keystone
transport_url = $(rabbit_url)
api_workers = 0
rpc_workers = 0
rpc_state_report_workers = 0
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
state_path = $LAB/state/neutron
api_paste_config = /etc/neutron/api-paste.ini
[database]
connection = $(db neutron)
[oslo_concurrency]
lock_path = $LAB/state/neutron
$(authtoken neutron)
C
  printf '[ml2]\ntype_drivers = local\ntenant_network_types = local\nmechanism_drivers =\n' >"$c/ml2.ini"
  # nova-api with one more filter in its pipeline, lablog
  sed '/^keystone = /s/ faultwrap / faultwrap lablog /' /etc/nova/api-paste.ini >"$c/nova/api-paste.ini"
  printf '\n[filter:lablog]\npaste.filter_factory = lablog:factory\n' >>"$c/nova/api-paste.ini"
  cat >"$NOVA_CONF" <<C
[DEFAULT]
transport_url = $(rabbit_url)
my_ip = $CTL
state_path = $LAB/state/nova
enabled_apis = osapi_compute
osapi_compute_listen = $CTL
osapi_compute_listen_port = $NV
osapi_compute_workers = 2
# Nova's defaults, written down because every time measured here depends on them
report_interval = 10
service_down_time = 60
compute_driver = lab.Driver
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
sync_power_state_interval = -1
# every server fits everywhere: placing is never what a test waits for
initial_cpu_allocation_ratio = 64.0
initial_ram_allocation_ratio = 64.0
[api]
auth_strategy = keystone
[api_database]
connection = $(db nova_api)
[database]
connection = $(db nova)
[cache]
enabled = false
[conductor]
workers = 1
[quota]
instances = -1
cores = -1
ram = -1
server_groups = -1
server_group_members = -1
[scheduler]
workers = 1
discover_hosts_in_cells_interval = 3
[filter_scheduler]
enabled_filters = ComputeFilter,ComputeCapabilitiesFilter,ImagePropertiesFilter,ServerGroupAntiAffinityFilter,ServerGroupAffinityFilter,AggregateInstanceExtraSpecsFilter
[glance]
api_servers = http://$CTL:$GL
[oslo_concurrency]
lock_path = $LAB/state/nova
[vnc]
enabled = false
[wsgi]
api_paste_config = $c/nova/api-paste.ini
$(authtoken nova)
$(as_user placement placement)
$(as_user neutron neutron)
$(as_user service_user nova)
C
  for h in $(computes); do
    mkdir -p "$LAB/state/$h"
    printf '[DEFAULT]\nhost = %s\nmy_ip = %s\nstate_path = %s\n[oslo_concurrency]\nlock_path = %s\n' \
      "$h" "$(address "$h")" "$LAB/state/$h" "$LAB/state/$h" >"$c/nova/$h.conf"
  done
  cat >"$c/clouds.yaml" <<C
clouds:
  lab:
    region_name: lab
    auth:
      auth_url: http://$CTL:$KS/v3
      username: admin
      password: $PW
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
C
  chmod 600 "$c/clouds.yaml"
}

# ---- daemons
sql() { mariadb --no-defaults -S "$LAB/run/mysql.sock" -uroot -e "$1"; }
start_mariadb() {
  # nothing here must survive a crash of the machine: so no waiting for the disk
  alive mariadb || spawn mariadb lbctl mariadbd --no-defaults --user=root --datadir="$LAB/mysql" --socket="$LAB/run/mysql.sock" \
    --port=$DB_PORT --bind-address=$CTL --pid-file="$LAB/run/mysql.pid" --max-connections=2000 --skip-log-bin \
    --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --innodb-log-file-size=24M --innodb-fast-shutdown=1
  wait_for MariaDB 60 sql 'select 1'
}
start_rabbit() {
  alive rabbit && return
  local r=$LAB/rabbit
  mkdir -p "$r"; chmod 700 "$r"
  printf 'default_user = lab\ndefault_pass = %s\nloopback_users = none\n' $PW >"$r/rabbitmq.conf"
  spawn rabbit lbctl env HOME="$r" RABBITMQ_CONFIG_FILE="$r/rabbitmq" RABBITMQ_NODENAME=lab@localhost \
    RABBITMQ_NODE_IP_ADDRESS=$CTL RABBITMQ_NODE_PORT=$MQ_PORT RABBITMQ_DIST_PORT=$((MQ_PORT + 1)) ERL_EPMD_ADDRESS=$CTL \
    RABBITMQ_MNESIA_BASE="$r/db" RABBITMQ_LOG_BASE="$LAB/log" RABBITMQ_PID_FILE="$r/pid" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$r/plugins" RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-setcookie labcookie" \
    /usr/lib/rabbitmq/bin/rabbitmq-server
}
start_wsgi() { # NAME PORT SCRIPT [uwsgi's arguments]: it never keeps a connection, and says so
  local name=$1 port=$2 script=$3; shift 3
  alive "$name" || spawn "$name" lbctl env OS_PLACEMENT_CONFIG_DIR="$LAB/conf/placement" uwsgi --plugin python3 --http-socket "$CTL:$port" --wsgi-file "$script" --master \
    --processes 2 --threads 2 --enable-threads --thunder-lock --buffer-size 65535 --add-header "Connection: close" \
    --die-on-term --lazy-apps "$@"
}
start_keystone() { start_wsgi keystone $KS /usr/bin/keystone-wsgi-public --pyargv "--config-file $LAB/conf/keystone.conf"; }
start_python() { # NAME ARGUMENTS...
  local name=$1; shift
  alive "$name" || spawn "$name" lbctl env LAB="$LAB" PYTHONPATH="$HERE/nova" PYTHONDONTWRITEBYTECODE=1 $PY "/usr/bin/$@"
}
answers() { in_ns lbctl curl -s -o /dev/null "http://$CTL:$1/"; }
opened() { in_ns lbctl bash -c "exec 3<>/dev/tcp/$CTL/$1"; }

# ---- the schemas and the catalogue, once
manage() { local name=$1; shift; in_ns lbctl $PY "/usr/bin/$name" "$@" >>"$LAB/log/seed-$name.log" 2>&1; }
seed() {
  say "making the databases (once)"
  rm -rf "$LAB/mysql" "$LAB/keys"
  mkdir -p "$LAB/keys"
  mariadb-install-db --no-defaults --user=root --datadir="$LAB/mysql" --auth-root-authentication-method=socket \
    --innodb-log-file-size=24M >"$LAB/log/mysql-install.log" 2>&1
  start_mariadb
  local d k jobs=()
  for d in keystone glance placement neutron nova nova_api nova_cell0; do
    sql "create database $d; grant all on $d.* to 'lab'@'%' identified by '$PW'"
  done
  local keystone=(manage keystone-manage --config-file "$LAB/conf/keystone.conf") nova=(manage nova-manage --config-file "$NOVA_CONF")
  ( set -e
    "${keystone[@]}" db_sync
    for k in fernet_setup credential_setup; do "${keystone[@]}" $k --keystone-user root --keystone-group root; done
    "${keystone[@]}" bootstrap --bootstrap-password $PW --bootstrap-region-id lab --bootstrap-admin-url "http://$CTL:$KS/v3" \
      --bootstrap-internal-url "http://$CTL:$KS/v3" --bootstrap-public-url "http://$CTL:$KS/v3"
    manage glance-manage --config-file "$LAB/conf/glance.conf" db_sync
    manage placement-manage --config-file "$LAB/conf/placement/placement.conf" db sync ) & jobs+=($!)
  manage neutron-db-manage --config-file "$LAB/conf/neutron.conf" --config-file "$LAB/conf/ml2.ini" upgrade head & jobs+=($!)
  ( set -e
    "${nova[@]}" api_db sync
    "${nova[@]}" cell_v2 map_cell0 --database_connection "$(db nova_cell0)"
    "${nova[@]}" db sync
    "${nova[@]}" cell_v2 create_cell --name cell1 ) & jobs+=($!)
  for k in "${jobs[@]}"; do wait "$k" || die "a database schema failed: $LAB/log/seed-*.log"; done
  start_keystone
  wait_for Keystone 60 answers $KS
  in_ns lbctl $PY "$HERE/nova.py" catalogue "image=http://$CTL:$GL" "placement=http://$CTL:$PL" "network=http://$CTL:$NE" \
    "compute=http://$CTL:$NV/v2.1"
  stop_all keystone mariadb
  rm -rf "$SEED.new" "$SEED"
  mkdir -p "$SEED.new"
  cp -a "$LAB/mysql" "$LAB/keys" "$SEED.new/"
  mv "$SEED.new" "$SEED"
}

openstack_up() {
  [ -d "$SEED" ] || seed
  [ -d "$LAB/mysql" ] && [ -d "$LAB/keys" ] || cp -a "$SEED/mysql" "$SEED/keys" "$LAB/"
  start_rabbit
  start_mariadb
  start_keystone
  start_wsgi placement $PL /usr/bin/placement-api
  start_python glance glance-api --config-file "$LAB/conf/glance.conf"
  start_python neutron neutron-server --config-file "$LAB/conf/neutron.conf" --config-file "$LAB/conf/ml2.ini"
  wait_for RabbitMQ 60 opened $MQ_PORT
  start_python nova-conductor nova-conductor --config-file "$NOVA_CONF"
  start_python nova-scheduler nova-scheduler --config-file "$NOVA_CONF"
  start_python nova-api nova-api --config-file "$NOVA_CONF"
}
openstack_ready() {
  local p
  for p in $KS $GL $PL $NE $NV; do wait_for "port $p" 120 answers "$p"; done
  # Neutron's first question must not be for ports (its models are then half loaded): this asks for networks
  in_ns lbctl $PY "$HERE/nova.py" prepare "$(computes | wc -l)"
}

# ---- ends
stop_all() { # NAME...: asked to end, and after 6 s without mercy
  local n p sessions=
  for n; do
    p=$(pid_of "$n")
    [ -n "$p" ] || continue
    sessions+=,$p
    signal "$n" CONT
    signal "$n" TERM
    rm -f "$LAB/run/$n"
  done
  [ -n "$sessions" ] || return 0
  local end=$((SECONDS + 6))
  while pgrep -s "${sessions#,}" -r DRSTtW >/dev/null; do
    [ $SECONDS -lt $end ] || { pkill -KILL -s "${sessions#,}" || true; break; }
    sleep 0.1
  done
}
