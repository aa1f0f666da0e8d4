// lifeboat-agent runs one agent until it is told to stop; `lifeboat-agent gate` waits
// until this host may start its nova-compute; `lifeboat-agent vip-release` takes back the
// ways to the control plane that one may have left.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
)

const defaultConfig = "/etc/lifeboat/agent.yaml"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "gate" {
		os.Exit(app.Exit(gate(os.Args[2:])))
	}
	if len(os.Args) > 1 && os.Args[1] == "vip-release" {
		os.Exit(app.Exit(app.ReleaseWays()))
	}
	path := flag.String("config", defaultConfig, "the configuration `file`")
	version := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *version {
		fmt.Println(app.Version)
		return
	}
	os.Exit(app.Exit(app.RunAgent(*path)))
}

func gate(args []string) error {
	f := flag.NewFlagSet("lifeboat-agent gate", flag.ExitOnError)
	var o app.GateOptions
	f.StringVar(&o.Config, "config", defaultConfig, "the configuration `file`")
	f.BoolVar(&o.Once, "once", false, "ask once: end with 1 if the gate is closed")
	f.BoolVar(&o.Override, "override", false, "open it for this boot where no controller answers; needs --reason")
	f.StringVar(&o.Reason, "reason", "", "why, for --override")
	f.StringVar(&o.Socket, "socket", "", "ask the agent at this `socket` (its gate_socket), without its key; then run what follows --")
	_ = f.Parse(args) // it exits
	o.Command = f.Args()
	return app.RunGate(o)
}
