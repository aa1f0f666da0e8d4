package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
)

// stopTimeout bounds an orderly end; systemd kills what is slower.
const stopTimeout = 10 * time.Second

// RunController is lifeboat-controller: it runs until a signal.
func RunController(path string) error {
	cfg, err := config.LoadController(path)
	if err != nil {
		return err
	}
	log := Logger(cfg.Log)
	for _, w := range cfg.Warnings() {
		log.Warn("configuration", "reason", w)
	}
	c, err := NewController(cfg, log, Seams{Crash: crashPoint()})
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("stopping")
	return bounded(c.Stop)
}

// RunAgent is lifeboat-agent: it runs until a signal, and announces its end.
func RunAgent(path string) error {
	cfg, err := config.LoadAgent(path)
	if err != nil {
		return err
	}
	log := Logger(cfg.Log)
	a, err := NewAgent(cfg, log, Seams{})
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := a.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("stopping: announced to the controllers")
	return bounded(func() error {
		actx, cancel := context.WithTimeout(context.Background(), stopTimeout/2)
		defer cancel()
		return a.Stop(actx)
	})
}

func bounded(stop func() error) error {
	done := make(chan error, 1)
	go func() { done <- stop() }()
	select {
	case err := <-done:
		return err
	case <-time.After(stopTimeout):
		return fmt.Errorf("not stopped in order within %s", stopTimeout)
	}
}

// Exit prints an error in one place and gives the exit code: 2 for faults of
// the configuration, 1 for everything else.
func Exit(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	if _, ok := errors.AsType[config.Faults](err); ok {
		return 2
	}
	return 1
}
