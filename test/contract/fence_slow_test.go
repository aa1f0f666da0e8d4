//go:build contract

package contract

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/fencetest"
	"github.com/lifeboat-ha/lifeboat/fence/ipmi"
)

// TestFenceSlowIPMI has a power script that takes 5 s, during which ipmi_sim
// answers nobody: ipmitool gives up on an off that is obeyed, and repeats it by
// itself meanwhile. The chain must end in a proof all the same, with its second
// off, and never before the machine is dead.
func TestFenceSlowIPMI(t *testing.T) {
	t.Parallel()
	sim := need(t, "ipmi_sim", "Debian: openipmi")
	need(t, "ipmitool", "Debian: ipmitool")
	b := newBox(t, "udp")
	b.write(t, "slow", fmt.Sprintf("#!/bin/sh\n"+
		`[ "$2 $3 $4" != "set power 0" ] || ! BEHIND=1 %[1]s/bmc-power n1 get power | grep -q power:1 || sleep 5`+"\n"+
		"exec %[1]s/bmc-power \"$@\"\n", b.dir), 0o700)
	b.write(t, "emu", "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\nmc_enable 0x20\n", 0o600)
	b.write(t, "lan.conf", fmt.Sprintf(`name "n1"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 %d
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "%s/slow n1"
  user 1 true ""      "x"  user  10 none md2 md5 straight
  user 2 true "admin" "%s" admin 10 none md2 md5 straight
`, b.port, b.dir, rightPassword), 0o600)
	b.start(t, sim, "-c", "lan.conf", "-f", "emu", "-s", b.dir, "-n")
	m, err := ipmi.New(ipmi.Options{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)), Username: "admin",
		Password: rightPassword, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	answers(t, m)
	b.set(t, true)
	began := time.Now()
	proof, attempts, err := fence.Chain{Clock: fencetest.Clock{}, Links: []fence.Link{{Method: m}}}.Off(t.Context(), "host", "boot", allowed)
	if b.on() {
		t.Errorf("the machine runs; %v", proof.Record())
	}
	if err != nil {
		t.Fatalf("after %v: %v, %+v", time.Since(began), err, attempts)
	}
	t.Logf("proof after %v and %d commands", time.Since(began).Round(100*time.Millisecond), attempts[0].Commands)
}
