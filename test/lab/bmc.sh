# The BMCs, in a namespace of their own: power stays reachable when a host's network
# does not. One process a BMC, so that each can be frozen, cut or told another
# password alone. Odd hosts: ipmi_sim (IPMI 2.0, cipher 3). Even hosts: redfish.py
# (HTTPS with the self-signed certificate $LAB/conf/bmc.crt).
# shellcheck shell=bash

bmc_files() { # what all of them share
  if [ ! -f "$LAB/conf/bmc-password" ]; then
    (umask 077; head -c 9 /dev/urandom | base64 | tr '+/' 'xy' | tr -d '\n' >"$LAB/conf/bmc-password")
  fi
  [ -f "$LAB/conf/bmc.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
    -subj /CN=bmc -addext "subjectAltName=IP:$BMC" -keyout "$LAB/conf/bmc.key" -out "$LAB/conf/bmc.crt" 2>/dev/null
}
bmc_start() { # HOST [PASSWORD]
  local h=$1 password=${2:-$(cat "$LAB/conf/bmc-password")} dir=$LAB/bmc/$1 uuid
  rm -rf "$dir" # ipmi_sim remembers old users in its state, and prefers them
  mkdir -p "$dir"
  uuid=$(cat "$LAB/machines/$h/uuid")
  if is_ipmi "$h"; then
    cat >"$dir/lan.conf" <<C
name "$h"
set_working_mc 0x20
  startlan 1
    addr $BMC $(bmc_port "$h")
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid ${uuid//-/}
  endlan
  chassis_control "env LAB=$LAB $HERE/bmc-power $h"
  user 1 true ""      "x"         user  10 none md2 md5 straight
  user 2 true "admin" "$password" admin 10 none md2 md5 straight
C
    printf 'mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n' >"$dir/emu"
    spawn "bmc-$h" lbbmc ipmi_sim -c "$dir/lan.conf" -f "$dir/emu" -s "$dir" -n
  else
    bmc_password_file "$h" "$password"
    spawn "bmc-$h" lbbmc env LAB="$LAB" "$TOOLS/bin/python" "$HERE/redfish.py" "$h" $BMC "$(bmc_port "$h")" "$uuid" \
      "$dir/auth" "$LAB/conf/bmc.crt" "$LAB/conf/bmc.key" "$dir"
  fi
}
bmc_password_file() { # HOST PASSWORD: the emulator reads this file at every request
  PASSWORD=$2 "$TOOLS/bin/python" -c 'import bcrypt, os
print("admin:" + bcrypt.hashpw(os.environ["PASSWORD"].encode(), bcrypt.gensalt(4)).decode())' >"$LAB/bmc/$1/auth"
}
bmc_password() { # HOST PASSWORD: from now on
  if is_ipmi "$1"; then signal "bmc-$1" KILL; bmc_start "$1" "$2"; else bmc_password_file "$1" "$2"; fi
}
