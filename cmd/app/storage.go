package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lifeboat-ha/lifeboat/config"
	"github.com/lifeboat-ha/lifeboat/evacuate"
	"github.com/lifeboat-ha/lifeboat/fence"
	"github.com/lifeboat-ha/lifeboat/fence/command"
	"github.com/lifeboat-ha/lifeboat/nova"
)

// StorageProgram takes a machine's storage away and gives it back; nil errors mean that
// it has been read back.
type StorageProgram interface {
	Name() string
	Fence(ctx context.Context, m command.Machine) error
	Unfence(ctx context.Context, m command.Machine) error
	// Gone only asks.
	Gone(ctx context.Context, m command.Machine) (bool, error)
}

// newStorage makes what calls the operator's program.
func newStorage(s config.StorageFence) (StorageProgram, error) {
	secrets := map[string]string{}
	for k, v := range s.Secrets {
		secrets[k] = v.Reveal()
	}
	p, err := command.NewStorage(command.StorageOptions{Program: s.Program, Parameters: s.Parameters, Secrets: secrets, Timeout: s.Timeout})
	if err != nil {
		return nil, fmt.Errorf("storage_fence: %w", err)
	}
	return p, nil
}

// storages calls the program for hosts by name, once at a time for each.
type storages struct {
	program  StorageProgram
	machines map[string]command.Machine
	turns    map[string]turn

	mu     sync.Mutex
	checks map[string]*evacuate.StorageTest // of the last time that a living host was asked about
	next   map[string]time.Time
}

// newStorages gives nil where no program is configured.
func newStorages(cfg *config.Controller, makes func(config.StorageFence) (StorageProgram, error)) (*storages, error) {
	if cfg.StorageFence.Program == "" {
		return nil, nil //nolint:nilnil // none is configured, and that is no fault
	}
	program, err := makes(cfg.StorageFence)
	if err != nil {
		return nil, err
	}
	s := &storages{program: program, machines: map[string]command.Machine{}, turns: map[string]turn{},
		checks: map[string]*evacuate.StorageTest{}, next: map[string]time.Time{}}
	for _, h := range cfg.Hosts {
		if !h.KeepsStorage {
			s.machines[h.Name], s.turns[h.Name] = command.Machine{Host: h.Name, Addresses: h.Addresses}, make(turn, 1)
		}
	}
	return s, nil
}

// of names the program where it is called for a host.
func (s *storages) of(host string) string {
	if s == nil || s.turns[host] == nil {
		return ""
	}
	return s.program.Name()
}

// Fence has a host's storage taken away.
func (s *storages) Fence(ctx context.Context, host string, guard fence.Guard) error {
	return s.call(ctx, host, guard, s.program.Fence)
}

// Unfence has it given back.
func (s *storages) Unfence(ctx context.Context, host string, guard fence.Guard) error {
	return s.call(ctx, host, guard, s.program.Unfence)
}

// test asks for the status of a host's storage; nil: it is not called for the host.
func (s *storages) test(ctx context.Context, host string, now func() time.Time) *evacuate.StorageTest {
	if s.of(host) == "" {
		return nil
	}
	began := now()
	out := &evacuate.StorageTest{Program: s.program.Name()}
	var err error
	if out.Gone, err = s.program.Gone(ctx, s.machines[host]); err != nil {
		out.Failed = err.Error()
	}
	out.Asking, out.At = now().Sub(began), began
	return out
}

const (
	// storagePause is the least time between two questions of preflight's, whatever the
	// hosts: a status may look at each image of a pool.
	storagePause = 10 * time.Second
	// storageEvery and storageRetry space those about one host.
	storageEvery = time.Hour
	storageRetry = 5 * time.Minute
)

// lookAhead asks about one living host, the one that is due for longest. It is called
// every storagePause, and one call at a time runs.
func (s *storages) lookAhead(ctx context.Context, lives func(host string) bool, now func() time.Time) {
	if s == nil {
		return
	}
	host := s.due(lives, now())
	if host == "" {
		return
	}
	defer s.turns[host].give()
	found := s.test(ctx, host, now)
	if ctx.Err() != nil || !lives(host) {
		return
	}
	next := storageEvery - rand.N(storageEvery/10)
	if found.Failed != "" {
		next = storageRetry
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks[host], s.next[host] = found, now().Add(next)
}

// due gives the host that waits for longest, with its turn; "": none.
func (s *storages) due(lives func(string) bool, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	hosts := slices.SortedFunc(maps.Keys(s.turns), func(a, b string) int { return cmp.Or(s.next[a].Compare(s.next[b]), strings.Compare(a, b)) })
	for _, h := range hosts {
		if !s.next[h].After(now) && lives(h) && s.turns[h].try() { // else its recovery calls
			return h
		}
	}
	return ""
}

// check is what preflight found of a host last.
func (s *storages) check(host string) *evacuate.StorageTest {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checks[host]
}

// lookAtStorage is the preflight of the storage program: leader only.
func (c *Controller) lookAtStorage(ctx context.Context) {
	if !c.leads() {
		return
	}
	c.powers.storage.lookAhead(ctx, func(host string) (well bool) {
		name := nova.HostName(host)
		if !lives(c.observer.last()[name]) || c.untouched(name) {
			return false
		}
		c.machine.Locked(func(s *evacuate.State) { well = s.Open(name) == nil })
		return well
	}, c.clock.Now)
}

func (s *storages) call(ctx context.Context, host string, guard fence.Guard, f func(context.Context, command.Machine) error) error {
	t, ok := s.turns[host]
	if !ok {
		return errors.New("this controller's file says that the host keeps its storage, or does not know it")
	}
	if err := t.take(ctx); err != nil {
		return fmt.Errorf("the program is being called for it: %w", err)
	}
	defer t.give()
	if err := guard(ctx); err != nil {
		return err
	}
	return f(ctx, s.machines[host])
}
