// lifeboat-controller runs one controller until it is told to stop; `lifeboat-controller
// vip-release` takes off this machine what one may have left of the addresses it owned.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
)

const defaultConfig = "/etc/lifeboat/controller.yaml"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "vip-release" {
		f := flag.NewFlagSet("lifeboat-controller vip-release", flag.ExitOnError)
		path := f.String("config", defaultConfig, "the configuration `file`")
		_ = f.Parse(os.Args[2:]) // it exits
		os.Exit(app.Exit(app.ReleaseVIPs(*path)))
	}
	path := flag.String("config", defaultConfig, "the configuration `file`")
	version := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *version {
		fmt.Println(app.Version)
		return
	}
	os.Exit(app.Exit(app.RunController(*path)))
}
