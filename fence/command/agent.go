// Package command reads and commands one machine's power through a fence agent of
// the ClusterLabs suite, or any program that keeps its contract (FenceAgentAPI.md
// of ClusterLabs/fence-agents): parameters as lines of key=value on standard input,
// `action` among them; a description of itself as XML for the action metadata; for
// status the exit codes 0 for on and 2 for off.
//
// It also calls the operator's program that takes a host's storage away (Storage), which
// is no method and gives no readings.
//
// It never asks for reboot, never gives a secret as an argument or in the
// environment, and starts no shell. It believes an exit code only where the agent
// says the same in words: a shell and Python exit with 2 for mistakes of their own.
// It never decides that a machine is off.
package command

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Parameter is one that an agent knows, as its metadata says.
type Parameter struct {
	// Type is string, integer, second, boolean or select, of Options.
	Type     string
	Options  []string
	Required bool
	// Given is set where the agent has a value of its own.
	Given bool
	// Obsoletes is a former name that it is still known by.
	Obsoletes string
}

// Agent is a fence agent: a program and what it says of itself.
type Agent struct {
	Name       string
	path       string
	parameters map[string]Parameter
}

// home is where distributions keep agents; PATH is looked in after it.
const home = "/usr/sbin"

// metadataTimeout bounds the question for an agent's description: Python takes its
// time to start on a busy machine.
const metadataTimeout = 30 * time.Second

// Load finds an agent by its name or path and asks it to describe itself. That
// contacts nobody.
func Load(ctx context.Context, agent string) (*Agent, error) {
	path, err := find(agent)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	res := run(ctx, path, []byte("action=metadata\n"))
	if res.err != nil || res.code != 0 {
		return nil, fmt.Errorf("agent %s: asked for its metadata it ended with code %d: %w: %s", agent, res.code, orUnsaid(res.err), short(res.stderr))
	}
	a := &Agent{Name: filepath.Base(path), path: path}
	if err := a.describe([]byte(res.stdout)); err != nil {
		return nil, fmt.Errorf("agent %s: %w", agent, err)
	}
	return a, nil
}

func orUnsaid(err error) error {
	if err == nil {
		return errors.New("it said")
	}
	return err
}

// find gives the file that is run. One that others may write would get the secrets.
func find(agent string) (string, error) {
	path := agent
	if !strings.Contains(agent, "/") {
		path = filepath.Join(home, agent)
		if _, err := os.Stat(path); err != nil {
			if path, err = exec.LookPath(agent); err != nil {
				return "", fmt.Errorf("agent %s: %w: install the package fence-agents, or give its path", agent, err)
			}
		}
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("agent %s: %w", agent, err)
	case !filepath.IsAbs(path) || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("agent %s: %s is no program: give its name or its whole path", agent, path)
	case info.Mode().Perm()&0o022 != 0:
		return "", fmt.Errorf("agent %s: %s may be written by others than its owner, and would get the secrets: chmod go-w %s", agent, path, path)
	}
	return path, nil
}

// metadata is the part of the description that we go by.
type metadata struct {
	Parameters []struct {
		Name      string `xml:"name,attr"`
		Required  string `xml:"required,attr"`
		Obsoletes string `xml:"obsoletes,attr"`
		Content   struct {
			Type    string  `xml:"type,attr"`
			Default *string `xml:"default,attr"`
			Options []struct {
				Value string `xml:"value,attr"`
			} `xml:"option"`
		} `xml:"content"`
	} `xml:"parameters>parameter"`
	Actions []struct {
		Name string `xml:"name,attr"`
	} `xml:"actions>action"`
}

// needed are the actions without which nothing can be fenced or proven.
var needed = []string{"status", "off", "on"}

func (a *Agent) describe(text []byte) error {
	var m metadata
	if i := bytes.IndexByte(text, '<'); i > 0 {
		text = text[i:] // a warning may stand before it
	}
	if err := xml.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("its metadata is not understood: %w", err)
	}
	var missing []string
	for _, n := range needed {
		if !slices.ContainsFunc(m.Actions, func(x struct {
			Name string `xml:"name,attr"`
		}) bool {
			return x.Name == n
		}) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("it has no action %s: it can't be used for power", strings.Join(missing, ", "))
	}
	a.parameters = map[string]Parameter{}
	for _, p := range m.Parameters {
		out := Parameter{Type: p.Content.Type, Required: p.Required == "1", Given: p.Content.Default != nil, Obsoletes: p.Obsoletes}
		for _, o := range p.Content.Options {
			out.Options = append(out.Options, o.Value)
		}
		a.parameters[p.Name] = out
	}
	return nil
}

// Agents loads each agent once: a thousand hosts are fenced by a handful of them.
// It is safe for concurrent use.
type Agents struct {
	mu     sync.Mutex
	loaded map[string]loaded
}

type loaded struct {
	agent *Agent
	err   error
}

// Get loads an agent, or gives what came of it before.
func (as *Agents) Get(ctx context.Context, agent string) (*Agent, error) {
	as.mu.Lock()
	defer as.mu.Unlock()
	l, ok := as.loaded[agent]
	if !ok {
		l.agent, l.err = Load(ctx, agent)
		if as.loaded == nil {
			as.loaded = map[string]loaded{}
		}
		as.loaded[agent] = l
	}
	return l.agent, l.err
}
