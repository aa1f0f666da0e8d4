package vip

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (l *linter) keepalived() {
	k := readKeepalived(l.file.Text)
	for _, i := range k.instances {
		l.announcements(k, i)
		l.election(k, i)
		l.checks(k, i)
	}
}

// announcements: what keeps hosts' neighbour tables right.
func (l *linter) announcements(k keepalivedConfig, i *instance) {
	if n, line, given := k.value(i, "garp_master_refresh", "vrrp_garp_master_refresh"); !given || n == 0 {
		l.say(line, "garp-refresh", i.name+" announces its address once, when it takes it: a host that misses that sends to the former owner for up to a minute",
			"write `garp_master_refresh 30`")
	}
	if !k.has(i, "higher_prio_send_advert", "vrrp_higher_prio_send_advert") {
		l.say(i.line, "higher-prio-send-advert", i.name+" says nothing when a split ends and the loser gives in first: hosts stay with the loser's MAC (5 of 8 heals)",
			"write `vrrp_higher_prio_send_advert true` in global_defs")
	}
	if n, line, given := k.value(i, "garp_lower_prio_repeat", "vrrp_garp_lower_prio_repeat"); !given || n == 0 {
		l.say(line, "garp-lower-prio", i.name+" announces nothing when it hears an advertisement of lower priority, as at the end of a split",
			"write `vrrp_garp_lower_prio_repeat 3` in global_defs")
	}
}

// election: who becomes the owner, and when.
func (l *linter) election(k keepalivedConfig, i *instance) {
	if n, line, given := k.value(i, "advert_int"); given && n > 1 {
		l.say(line, "slow-adverts", fmt.Sprintf("%s is missed only after %g s", i.name, 3*n+1), "write `advert_int 1`, or less")
	}
	if i.addresses == 0 {
		l.say(i.line, "no-address", i.name+" has no virtual_ipaddress", "give it one")
	}
	if i.peers == 1 {
		l.say(i.line, "two-nodes", i.name+" has one peer: where the two lose each other both take the address, and nobody else can tell",
			"add a third, and let Lifeboat watch")
	}
	state, _ := i.options["state"]
	if nopreempt, ok := i.options["nopreempt"]; ok && len(state.words) > 1 && state.words[1] == "MASTER" {
		l.say(nopreempt.n, "nopreempt-master", i.name+" is of state MASTER, for which nopreempt counts for nothing", "write `state BACKUP` on every node")
	}
	if _, ok := i.options["dont_track_primary"]; ok {
		l.say(i.options["dont_track_primary"].n, "dont-track-primary", i.name+" keeps the address on a link without a carrier", "take `dont_track_primary` out")
	}
}

// checks: whether the address leaves a node whose service is dead.
func (l *linter) checks(k keepalivedConfig, i *instance) {
	if len(i.scripts) == 0 {
		l.say(i.line, "no-check", i.name+" keeps the address although HAProxy is dead", "add a vrrp_script that asks the service, and track it")
		return
	}
	for _, w := range i.scripts {
		s := k.scripts["vrrp_script "+w.words[0]]
		script, ok := s["script"]
		if !ok {
			l.say(w.n, "unknown-check", i.name+" tracks "+w.words[0]+", which is no vrrp_script here", "define it")
			continue
		}
		text := strings.Trim(strings.Join(script.words[1:], " "), `"'`)
		processOnly := slices.ContainsFunc([]string{"killall -0", "pidof", "pgrep", "kill -0", "show info", "systemctl is-active"}, func(p string) bool { return strings.Contains(text, p) })
		if processOnly {
			l.say(script.n, "check-asks-process", w.words[0]+" asks whether HAProxy runs, not whether it serves: with all backends dead the address stays and hosts get 503",
				"ask a service through the proxy, or `show stat` for backends that are DOWN")
		}
		rise, isRise := s["rise"]
		_, nopreempt := i.options["nopreempt"]
		if n := number(rise); isRise && nopreempt && n > 5 {
			l.say(rise.n, "nopreempt-rise", fmt.Sprintf("%s comes back only after %d good answers, and with nopreempt nobody takes over from it meanwhile", w.words[0], n), "write `rise 2`")
		}
		if timeout, ok := s["timeout"]; !ok || number(timeout) == 0 {
			l.say(script.n, "check-without-timeout", w.words[0]+" may hang, and then is neither good nor bad for as long as `interval`", "write `timeout 1`")
		}
	}
}

func number(w wordLine) int {
	if len(w.words) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(w.words[1])
	return n
}

// haproxy reads sections: a line that begins in the first column opens one.
func (l *linter) haproxy() {
	section, begun := "", 0
	said := map[string]map[string][]wordLine{} // by section, by first word
	n := 0
	for line := range strings.Lines(l.file.Text) {
		n++
		if at := strings.IndexByte(line, '#'); at >= 0 {
			line = line[:at]
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if slices.Contains([]string{"global", "defaults", "frontend", "backend", "listen"}, words[0]) {
			section, begun = strings.Join(words, " "), n
			said[section] = map[string][]wordLine{"": {{n: begun}}}
			continue
		}
		if said[section] == nil {
			said[section] = map[string][]wordLine{}
		}
		said[section][words[0]] = append(said[section][words[0]], wordLine{n: n, words: words})
	}
	l.proxyDefaults(said)
	l.proxyServers(said)
}

func (l *linter) proxyDefaults(said map[string]map[string][]wordLine) {
	stats, client, server := false, false, false
	for name, s := range said {
		for _, w := range s["stats"] {
			stats = stats || len(w.words) > 1 && w.words[1] == "socket"
		}
		if strings.HasPrefix(name, "defaults") {
			for _, w := range s["option"] {
				client = client || slices.Contains(w.words, "clitcpka") || slices.Contains(w.words, "tcpka")
				server = server || slices.Contains(w.words, "srvtcpka") || slices.Contains(w.words, "tcpka")
			}
		}
	}
	if !stats {
		l.say(0, "no-stats-socket", "nobody on this machine can ask which backends are dead", "write `stats socket /run/haproxy/lifeboat.sock mode 660 level user` in global")
	}
	if !client || !server {
		l.say(0, "no-keepalive", "connections whose other side is gone stay for hours", "write `option clitcpka` and `option srvtcpka` in defaults")
	}
}

func (l *linter) proxyServers(said map[string]map[string][]wordLine) {
	for name, s := range said {
		if !strings.HasPrefix(name, "backend") && !strings.HasPrefix(name, "listen") {
			continue
		}
		for _, w := range s["server"] {
			if !slices.Contains(w.words, "check") {
				l.say(w.n, "server-without-check", name+" sends to "+w.words[min(1, len(w.words)-1)]+" whether it lives or not", "add `check`")
			}
		}
		if len(s["server"]) == 1 {
			l.say(s["server"][0].n, "single-server", name+" has one server", "list all controllers")
		}
	}
}

func (l *linter) kolla() {
	values := map[string]wordLine{}
	n := 0
	for line := range strings.Lines(l.file.Text) {
		n++
		if at := strings.IndexByte(line, '#'); at >= 0 {
			line = line[:at]
		}
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			values[name] = wordLine{n: n, words: []string{name, strings.Trim(strings.TrimSpace(value), `"'`)}}
		}
	}
	at := func(name string) (string, int) {
		w, ok := values[name]
		if !ok {
			return "", 0
		}
		return w.words[1], w.n
	}
	no := func(v string) bool { return v == "no" || v == "False" || v == "false" }
	if v, line := at("haproxy_host_ipv4_tcp_retries2"); v == "" || v == "KOLLA_UNSET" || v == "15" {
		l.say(line, "tcp-retries2", "a connection to an address that has moved is given up after 15 min", `write haproxy_host_ipv4_tcp_retries2: "6"`)
	}
	if v, line := at("keepalived_track_script_enabled"); no(v) {
		l.say(line, "no-check", "the address stays on a node whose HAProxy is dead", `write keepalived_track_script_enabled: "yes"`)
	}
	if v, line := at("enable_keepalived"); no(v) {
		l.say(line, "no-keepalived", "nobody moves the address", "say in Lifeboat's documents who does, or turn it on")
	}
	internal, _ := at("kolla_internal_vip_address")
	if external, line := at("kolla_external_vip_address"); external != "" && external == internal {
		l.say(line, "one-address", "the internal and the external address are one: what ails the public side stops the computes", "give each its own")
	}
	l.say(0, "kolla-check-asks-process", "Kolla's check_alive asks HAProxy for `show info` alone, and its keepalived.conf announces nothing again: backends that are dead keep the address",
		"override keepalived.conf (check, garp_master_refresh, vrrp_higher_prio_send_advert) as docs/vip.md#kolla shows")
}

func (l *linter) sysctl() {
	values := map[string]wordLine{}
	n := 0
	for line := range strings.Lines(l.file.Text) {
		n++
		if at := strings.IndexAny(line, "#;"); at >= 0 {
			line = line[:at]
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			values[strings.TrimSpace(name)] = wordLine{n: n, words: []string{"", strings.TrimSpace(value)}}
		}
	}
	if w, ok := values["net.ipv4.ip_nonlocal_bind"]; !ok || number(w) == 0 {
		l.say(w.n, "nonlocal-bind", "HAProxy of a node without the address cannot start, and is not there when the address comes", "write net.ipv4.ip_nonlocal_bind = 1")
	}
	if w, ok := values["net.ipv4.tcp_retries2"]; !ok || number(w) >= 15 {
		l.say(w.n, "tcp-retries2", "a connection to an address that has moved is given up after 15 min", "write net.ipv4.tcp_retries2 = 8, about 100 s")
	}
	for _, scope := range []string{"all", "default"} {
		if w, ok := values["net.ipv4.conf."+scope+".rp_filter"]; ok && number(w) == 1 {
			l.say(w.n, "rp-filter", "answers that come in by another interface than they went out are dropped without a word", "write 2 where the address is on a second card")
		}
	}
}

// unit: what a service manager does to keepalived's address.
func (l *linter) unit() {
	n := 0
	mode, restart := 0, false
	for line := range strings.Lines(l.file.Text) {
		n++
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "KillMode":
			if value == "process" || value == "none" {
				mode = n
			}
		case "Restart":
			restart = value == "always" || value == "on-failure" || value == "on-abnormal"
		}
	}
	if mode > 0 {
		l.say(mode, "kill-mode", "a child that outlives its parent keeps the address", "take KillMode out: control-group is the default")
	}
	if !restart {
		l.say(0, "no-restart", "a keepalived that is killed leaves its address behind for ever, beside the new owner's", "write Restart=always: it clears the address when it starts")
	}
}
