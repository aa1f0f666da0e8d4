# nova-compute in a container of a real docker's (Debian: docker.io), which nothing starts
# but the container's own restart policy; its gate is the recipe of deploy/containers.
# docker runs in the host's namespace and dies with its power.
# shellcheck shell=bash
docker_of() { local h=$1; shift; docker -H "unix://$M/$h/docker.sock" "$@"; }

container_on() { # HOST: from its next start on as well
  local h=$1 d=$M/$1/image; shift
  command -v dockerd >/dev/null || die "apt-get install docker.io"
  touch "$M/$h/container"
  kill_service nova-compute "$h"
  rm -rf "$d"
  mkdir -p "$d"/{usr,etc,tmp,proc,dev,sys,run,var/lib/kolla/config_files,lab}
  for n in bin sbin lib lib64; do ln -s "usr/$n" "$d/$n"; done
  cat >"$d/lab/kolla_start" <<'C'
#!/bin/bash -e
# as kolla's: the command of config.json is split at its spaces and takes this script's place
CMD=$(/usr/bin/python3 -c 'import json; print(json.load(open("/var/lib/kolla/config_files/config.json"))["command"])')
exec $CMD
C
  cat >"$d/lab/nova-compute" <<C
#!/bin/bash -e
exec >>"$LAB/log/nova-compute-$h.log" 2>&1
echo "--- starting nova-compute in a container"
exec env LAB="$LAB" PYTHONPATH="$HERE/nova" PYTHONDONTWRITEBYTECODE=1 $PY "$HERE/nova/compute.py" --config-file "$LAB/conf/nova/nova.conf" --config-file "$LAB/conf/nova/$h.conf"
C
  chmod 755 "$d"/lab/*
  mkdir -p "$M/$h/config_files"
  cp "$HERE/../../deploy/containers/nova-compute.config.json" "$M/$h/config_files/config.json"
  machine "$h" start
  wait_for "docker of $h" 30 docker_of "$h" info
  docker_of "$h" rm -f nova_compute >/dev/null 2>&1 || true
  tar -C "$d" -c . | docker_of "$h" import -c 'ENV PATH=/lab:/usr/bin' -c 'CMD ["kolla_start"]' - nova-compute:lab >/dev/null
  docker_of "$h" run -d --name nova_compute --restart unless-stopped --network host --pid host \
    -v /usr:/usr:ro -v /etc:/etc:ro -v "$LAB:$LAB" -v "$HERE:$HERE:ro" -v "$M/$h/config_files:/var/lib/kolla/config_files:ro" \
    -v "$B/lifeboat-agent:/lab/lifeboat-agent:ro" -v "$M/$h/run:/run/lifeboat:ro" nova-compute:lab >/dev/null
}
container_off() { # HOST: nova-compute runs as everywhere
  local h=$1
  [ -e "$M/$h/container" ] || return 0
  docker_of "$h" rm -f nova_compute >/dev/null 2>&1 || true
  kill_service dockerd "$h"
  rm -rf "$M/$h"/{container,docker,docker.run,docker.pid,docker.sock,image,config_files}
  machine "$h" start
}
