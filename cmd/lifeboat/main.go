// lifeboat is the operator's shell.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/lifeboat-ha/lifeboat/cmd/app"
	"github.com/lifeboat-ha/lifeboat/cmd/cli"
	"github.com/lifeboat-ha/lifeboat/cmd/demo"
	"github.com/lifeboat-ha/lifeboat/detector/clock"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := cli.Run(ctx, cli.Hooks{
		Version:     app.Version,
		Now:         clock.System().Now,
		Enrol:       app.Enrol,
		CheckAgents: app.CheckAgents, CheckOnline: app.CheckOnline, Draft: app.Draft,
		Sim: demo.Sim,
		Demo: func(ctx context.Context, out io.Writer, keep bool) error {
			return demo.Run(ctx, demo.Options{Out: out, Keep: keep})
		},
	}, os.Args[1:])
	cancel()
	os.Exit(code)
}
