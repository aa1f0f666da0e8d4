package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
)

const tableHead = "name,domain,management,method,address,system,username,password,budget,agent,plug\n"

// TestInventory: a table becomes a section that the file takes, and back.
func TestInventory(t *testing.T) {
	path, _ := cloud(t)
	c, err := config.LoadController(path)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := config.ReadCSV("hosts.csv", strings.NewReader("\ufeff"+tableHead+
		"# a comment\n"+
		"cmp11,rack1,10.0.0.21,redfish,https://10.9.0.21,/redfish/v1/Systems/1,root,file:/etc/lifeboat/bmc,30s,,\n"+
		"cmp11,,,command,10.9.8.1,,apc,command:/usr/bin/get pdu,40s,fence_apc,7\n"+
		"\"cmp12\",rack2, 10.0.0.22 ,ipmi,10.9.0.22,,admin,credential:bmc,,,\n"+
		"cmp13,rack2,10.0.0.23,,,,,,,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) != 3 || len(hosts[0].BMC) != 2 || hosts[0].BMC[0].Budget != 30*time.Second || hosts[0].BMC[1].Password.Command[1] != "pdu" || len(hosts[2].BMC) != 0 {
		t.Fatalf("%+v", hosts)
	}
	section, err := c.Inventory(hosts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.ReadHosts("hosts.yaml", []byte(section))
	if err != nil {
		t.Fatalf("%v\n%s", err, section)
	}
	if first, second := config.Table(hosts), config.Table(again); first != second || strings.Count(first, "\n") != 5 {
		t.Errorf("there and back:\n%s\n%s", first, second)
	}
}

func TestInventoryMistakes(t *testing.T) {
	path, _ := cloud(t)
	c, err := config.LoadController(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, table, want string }{
		{"no columns", "", "no first line"},
		{"a strange column", "name,colour\ncmp1,red\n", "hosts.csv:1:1: colour: no such column"},
		{"a column twice", "name,name\ncmp1,red\n", "stands there twice"},
		{"no name column", "domain\nrack1\n", "name: the column is missing"},
		{"no name", tableHead + ",rack1,10.0.0.21,ipmi,10.9.0.21,,a,env:P,,,\n", "hosts.csv:2:1: name: missing"},
		{"no address", tableHead + "cmp1,rack1,red,ipmi,10.9.0.21,,a,env:P,,,\n", "management: \"red\" is no IP address"},
		{"a password", tableHead + "cmp1,rack1,10.0.0.21,ipmi,10.9.0.21,,a,hunter2,,,\n", "a secret does not stand in this file"},
		{"no duration", tableHead + "cmp1,rack1,10.0.0.21,ipmi,10.9.0.21,,a,env:P,soon,,\n", "\"soon\" is no duration"},
		{"two hosts of one name", tableHead + "cmp1,rack1,10.0.0.21,ipmi,10.9.0.21,,a,env:P,,,\ncmp1,rack2,10.0.0.22,ipmi,10.9.0.22,,a,env:P,,,\n", "is another host here"},
		{"one BMC for two", tableHead + "cmp1,rack1,10.0.0.21,ipmi,10.9.0.21,,a,env:P,,,\ncmp2,rack2,10.0.0.22,ipmi,10.9.0.21,,a,env:P,,,\n", "cmp2.bmc[0].address: 10.9.0.21:623 is the BMC of host \"cmp1\" too"},
		{"a host's own address as BMC", tableHead + "cmp1,rack1,10.0.0.21,ipmi,10.0.0.21,,a,env:P,,,\n", "cmp1.bmc[0].address: 10.0.0.21 is the address of host cmp1 itself"},
		{"no address at all", tableHead + "cmp1,rack1,,ipmi,10.9.0.21,,a,env:P,,,\n", "cmp1.addresses: missing"},
	} {
		hosts, err := config.ReadCSV("hosts.csv", strings.NewReader(tt.table))
		if err == nil {
			_, err = c.Inventory(hosts)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := config.ReadHosts("hosts.yaml", []byte("hosts: [{name: cmp1, colour: red}]")); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Error(err)
	}
	if _, err := config.ReadHosts("hosts.yaml", []byte("hosts: []")); err == nil {
		t.Error("no hosts")
	}
}
