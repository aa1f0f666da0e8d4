// Package floorplan keeps the floor plan of docs/architecture.md: which folder may
// know which, where each foreign module lives, and what the pure roots may never
// touch. Each break is printed with its reason.
package floorplan

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/lifeboat-ha/lifeboat/"

// entries are all that stands at the top level. A new thing goes into one of the
// rooms; see docs/architecture.md.
var entries = strings.Fields(`
	.ci .dockerignore .editorconfig .git .gitattributes .gitignore .golangci.yml
	CHANGELOG.md CONTRIBUTING.md LICENSE Makefile README.md SECURITY.md go.mod go.sum
	bin cmd config deploy detector docs evacuate fence nova test`)

// pure packages hold words, rules and interfaces, and nothing of the world.
var pure = []string{"nova", "fence", "detector", "detector/vip", "evacuate"}

// roots are the pure package of each domain, by what they may import.
var roots = map[string][]string{
	"nova":     nil,
	"fence":    nil,
	"detector": {"nova"},
	"evacuate": {"nova", "fence", "detector"},
}

// clock is the one home of the clock: everybody is given one through an interface.
const clock = "detector/clock"

// rooms that only the floors above them may know.
var rooms = []struct{ room, why string }{
	{"cmd", "cmd wires everything and is known by nobody"},
	{"config", "packages take their Options from whoever wires them, so that nothing depends on the shape of a file"},
	{clock, "take the clock through an interface of your own: virtual time must reach everything"},
	{"test", "what tests need stands beside the code (novatest, fencetest, gossiptest)"},
}

// homes of foreign modules. A module that is not here has no home: give it one, or
// do without it (docs/dependencies.md).
var homes = map[string][]string{
	"github.com/gophercloud/gophercloud/v2": {"nova/rest", "nova/placement"},
	"github.com/hashicorp/memberlist":       {"detector/gossip"},
	"github.com/hashicorp/raft":             {"evacuate/ledger"},
	"go.etcd.io/bbolt":                      {"evacuate/ledger"},
	"github.com/hashicorp/go-hclog":         {"evacuate/ledger"},
	"github.com/hashicorp/go-metrics":       {"evacuate/ledger", "detector/gossip"},
	"github.com/stmcginnis/gofish":          {"fence/redfish"},
	"github.com/bmc-toolbox/bmclib/v2":      {"fence/ipmi"},
	"github.com/bmc-toolbox/common":         {"fence/ipmi"},
	"github.com/jacobweinstock/registrar":   {"fence/ipmi"},
	"github.com/go-logr/logr":               {"fence/ipmi"},
	"github.com/vishvananda/netlink":        {"detector/vip/watch", "detector/probe", "fence/address"},
	"github.com/vishvananda/netns":          {"detector/vip/watch", "fence/address", "test"},
	"github.com/digitalocean/go-libvirt":    {"detector/guest"},
	"github.com/goccy/go-yaml":              {"config", "nova/rest", "cmd"},
	"github.com/spf13/cobra":                {"cmd"},
	"github.com/spf13/pflag":                {"cmd"},
	"golang.org/x/sys":                      {"detector", "fence", "evacuate/ledger", "cmd"},
	"golang.org/x/net":                      {"detector/probe", "detector/vip/watch"},
	"github.com/prometheus/client_golang":   {"nova", "fence", "detector", "evacuate", "cmd"},
	"github.com/prometheus/client_model":    {"cmd"},
	"github.com/prometheus/common":          {"cmd", "evacuate/api"},
}

// world is what a pure package may not import, and why.
func world(imported string) (why string, touches bool) {
	switch first, _, _ := strings.Cut(imported, "/"); {
	case imported == "net/netip":
		return "", false
	case first == "net":
		return "it would reach the network; net/netip alone is allowed", true
	case first == "os", imported == "syscall", imported == "unsafe":
		return "it would touch the machine", true
	case first == "log":
		return "it says what happened by what it returns; the caller logs", true
	case imported == "math/rand", imported == "math/rand/v2", imported == "crypto/rand":
		return "the same input must give the same output on every replica", true
	}
	return "", false
}

// clockCalls are those of package time that read or wait for the real clock.
var clockCalls = strings.Fields("Now Since Until Sleep After AfterFunc NewTimer NewTicker Tick")

var vague = strings.Fields("util utils common helper helpers types manager managers misc base lib shared")

const mostLines = 400

// source is one Go file that is not a test.
type source struct {
	path string // from the root of the repository
	dir  string // its package's folder
	file *ast.File
	set  *token.FileSet
}

// plan collects the breaks.
type plan struct{ breaks []string }

func (p *plan) broken(where, what, why string) {
	p.breaks = append(p.breaks, fmt.Sprintf("%s: %s\n    why not: %s", where, what, why))
}

func TestFloorPlan(t *testing.T) {
	tree := os.DirFS("..")
	p := &plan{}
	list, err := fs.ReadDir(tree, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !slices.Contains(entries, e.Name()) {
			p.broken(e.Name(), "is new at the top level", "the house has its rooms: find the one it belongs to, or change the plan here and in docs/architecture.md")
		}
	}
	sources, err := read(tree, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) < 50 {
		t.Fatalf("only %d files found: the test looks at the wrong place", len(sources))
	}
	for _, s := range sources {
		p.check(s)
	}
	for _, b := range p.breaks {
		t.Error(b)
	}
}

// read parses every Go file of the main module, and measures those that are no
// tests.
func read(tree fs.FS, p *plan) ([]source, error) {
	var sources []source
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && name != "." && (strings.HasPrefix(e.Name(), ".") || e.Name() == "testdata" || e.Name() == "vendor" || name == "bin"):
			return fs.SkipDir
		case e.IsDir():
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir // a module of its own
			}
			return nil
		case filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if lines := strings.Count(string(data), "\n"); lines > mostLines {
			p.broken(name, fmt.Sprintf("has %d lines", lines), fmt.Sprintf("a file has one subject and at most %d lines", mostLines))
		}
		s, err := parse(name, data)
		if err == nil {
			sources = append(sources, s)
		}
		return err
	})
	return sources, err
}

func parse(name string, data []byte) (source, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, data, parser.SkipObjectResolution)
	return source{name, path.Dir(name), file, set}, err
}

func (p *plan) check(s source) {
	if name := s.file.Name.Name; slices.Contains(vague, name) {
		p.broken(s.path, "package "+name, "a package is a noun that an operator says, not a drawer")
	}
	if s.file.Name.Name == "main" && path.Base(s.path) == "main.go" && strings.HasPrefix(s.dir, "cmd/") {
		if lines := s.set.File(s.file.Pos()).LineCount(); lines > 61 {
			p.broken(s.path, fmt.Sprintf("has %d lines", lines), "main is flags, configuration, run: 60 lines; cmd/app does the rest")
		}
	}
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		p.arrow(s, imported)
	}
	if slices.Contains(pure, s.dir) {
		p.purity(s)
	}
}

// arrow checks one import.
func (p *plan) arrow(s source, imported string) {
	what := s.dir + " imports " + imported
	if ours, ok := strings.CutPrefix(imported, module); ok {
		if why := forbidden(s.dir, ours); why != "" {
			p.broken(s.path, what, why)
		}
		return
	}
	if !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") { // standard library
		if why, touches := world(imported); touches && slices.Contains(pure, s.dir) {
			p.broken(s.path, what, "a pure root decides, its subfolders touch the world: "+why)
		}
		return
	}
	if slices.Contains(pure, s.dir) {
		p.broken(s.path, what, "a pure root imports the standard library only")
		return
	}
	for foreign, rooms := range homes {
		if imported == foreign || strings.HasPrefix(imported, foreign+"/") {
			if !slices.ContainsFunc(rooms, func(room string) bool { return within(s.dir, room) }) {
				p.broken(s.path, what, "that module lives in "+strings.Join(rooms, ", ")+"; ask for what you need through an interface of your own")
			}
			return
		}
	}
	p.broken(s.path, what, "that module has no home: give it one here and a row in docs/dependencies.md, or do without it")
}

// within says that a folder is a room or stands in it.
func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

// floor is the top-level folder of a package.
func floor(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// adapter is the folder below a domain's root in which a package stands.
func adapter(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// forbidden says why one of our packages may not import another, "" if it may.
func forbidden(from, to string) string {
	if within(from, "cmd") || within(from, "test") {
		return "" // they wire and test everything
	}
	for _, r := range rooms {
		if within(to, r.room) && !within(from, r.room) {
			return r.why
		}
	}
	if within(from, "config") {
		return ""
	}
	if may, isRoot := roots[from]; isRoot {
		if slices.Contains(may, to) {
			return ""
		}
		if len(may) == 0 {
			return "a root of the ground floor imports nothing of ours"
		}
		return "this root may import " + strings.Join(may, ", ") + " and nothing else of ours: the arrows point down, and no root knows an adapter"
	}
	_, toRoot := roots[to]
	switch {
	case adapter(from) == adapter(to):
		return "" // one room, and what stands in it
	case toRoot && floor(from) == "evacuate":
		return "" // the upper floor knows all roots
	case toRoot && (to == "nova" || to == floor(from)):
		return ""
	case toRoot:
		return "an adapter imports the root of its own domain and nova's, no other"
	case slices.Contains(pure, to) && (floor(from) == floor(to) || floor(from) == "evacuate"):
		return ""
	}
	return "an adapter imports no other adapter: what it needs comes through an interface of its own, wired by cmd/app"
}

// purity looks for what imports do not show: the clock, and goroutines.
func (p *plan) purity(s source) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			p.broken(s.set.Position(n.Pos()).String(), "a go statement in a pure root", "what it decides must not depend on who runs first")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clockCalls, n.Sel.Name) {
				p.broken(s.set.Position(n.Pos()).String(), "time."+n.Sel.Name+" in a pure root", "time comes in as an argument, so that a recorded run replays exactly")
			}
		}
		return true
	})
}

// TestFloorPlanCatches makes sure that the plan is kept by more than good will.
func TestFloorPlanCatches(t *testing.T) {
	for _, test := range []struct{ path, body, want string }{
		{"nova/x.go", `import "github.com/lifeboat-ha/lifeboat/fence"`, "ground floor"},
		{"fence/x.go", `import "github.com/lifeboat-ha/lifeboat/nova"`, "ground floor"},
		{"detector/x.go", `import "github.com/lifeboat-ha/lifeboat/evacuate"`, "arrows point down"},
		{"detector/x.go", `import "github.com/lifeboat-ha/lifeboat/detector/gossip"`, "no root knows an adapter"},
		{"evacuate/x.go", `import "github.com/lifeboat-ha/lifeboat/evacuate/ledger"`, "no root knows an adapter"},
		{"detector/x.go", `import "os"`, "touch the machine"},
		{"detector/x.go", `import "net/http"`, "reach the network"},
		{"detector/x.go", `import "log/slog"`, "the caller logs"},
		{"evacuate/x.go", `import "math/rand/v2"`, "every replica"},
		{"evacuate/x.go", `import "github.com/spf13/cobra"`, "standard library only"},
		{"evacuate/x.go", "import \"time\"\nvar _ = time.Now()", "recorded run"},
		{"fence/x.go", "func f() { go f() }", "who runs first"},
		{"detector/vip/x.go", `import "net"`, "reach the network"},
		{"fence/ipmi/x.go", `import "github.com/lifeboat-ha/lifeboat/fence/redfish"`, "no other adapter"},
		{"fence/ipmi/x.go", `import "github.com/lifeboat-ha/lifeboat/detector"`, "its own domain"},
		{"fence/ipmi/x.go", `import "github.com/lifeboat-ha/lifeboat/config"`, "shape of a file"},
		{"nova/rest/x.go", `import "github.com/lifeboat-ha/lifeboat/detector/clock"`, "virtual time"},
		{"evacuate/runner/x.go", `import "github.com/lifeboat-ha/lifeboat/fence/ipmi"`, "no other adapter"},
		{"evacuate/runner/x.go", `import "github.com/lifeboat-ha/lifeboat/evacuate/ledger"`, "no other adapter"},
		{"evacuate/runner/x.go", `import "github.com/hashicorp/raft"`, "lives in evacuate/ledger"},
		{"nova/rest/x.go", `import "github.com/sirupsen/logrus"`, "no home"},
		{"config/x.go", `import "github.com/lifeboat-ha/lifeboat/cmd/app"`, "known by nobody"},
		{"fence/ipmi/x.go", `import "github.com/lifeboat-ha/lifeboat/test/lab"`, "beside the code"},
		{"nova/util/x.go", "", "not a drawer"},
		{"cmd/lifeboat/main.go", strings.Repeat("\n", 70), "60 lines"},

		{"evacuate/runner/x.go", `import "github.com/lifeboat-ha/lifeboat/fence"`, ""},
		{"evacuate/ledger/peer/x.go", `import "github.com/lifeboat-ha/lifeboat/evacuate/ledger"`, ""},
		{"detector/vip/watch/x.go", `import "github.com/lifeboat-ha/lifeboat/detector/vip"`, ""},
		{"detector/gossip/x.go", `import "github.com/lifeboat-ha/lifeboat/nova"`, ""},
		{"detector/x.go", `import "net/netip"`, ""},
		{"cmd/app/x.go", `import "github.com/lifeboat-ha/lifeboat/detector/clock"`, ""},
		{"config/x.go", `import "github.com/lifeboat-ha/lifeboat/fence/ipmi"`, ""},
		{"nova/rest/x.go", `import "github.com/gophercloud/gophercloud/v2/openstack"`, ""},
	} {
		t.Run(test.path+" "+test.body, func(t *testing.T) {
			name := path.Base(path.Dir(test.path))
			if path.Base(test.path) == "main.go" {
				name = "main"
			}
			s, err := parse(test.path, []byte("package "+name+"\n"+test.body+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			p := &plan{}
			p.check(s)
			got := strings.Join(p.breaks, "\n")
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
