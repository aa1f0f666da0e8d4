// lifeboat-agent runs one agent until it is told to stop.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
)

func main() {
	path := flag.String("config", "/etc/lifeboat/agent.yaml", "the configuration `file`")
	version := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *version {
		fmt.Println(app.Version)
		return
	}
	os.Exit(app.Exit(app.RunAgent(*path)))
}
