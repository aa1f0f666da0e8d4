package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// columns of an inventory's table, in the order in which a draft has them. A method of
// fencing stands in each row; a host of several methods has several rows.
var columns = []string{"name", "domain", "management", "storage_network", "tenant", "storage", "controller",
	"method", "address", "system", "username", "password", "budget", "cipher", "privilege", "ca", "fingerprint", "insecure", "agent", "plug"}

// ReadCSV reads an inventory's table: its first line names the columns, of which only
// name is needed. All mistakes are given at once, each with its line.
func ReadCSV(file string, in io.Reader) ([]Host, error) {
	r := csv.NewReader(in)
	r.TrimLeadingSpace, r.Comment, r.FieldsPerRecord = true, '#', -1
	t := &table{file: file, at: map[string]int{}}
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: no first line with the names of the columns: %w", file, err)
	}
	for i, name := range head {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))
		switch _, twice := t.at[name]; {
		case !slices.Contains(columns, name):
			t.fault(1, name, "no such column: there are %s", strings.Join(columns, ", "))
		case twice:
			t.fault(1, name, "the column stands there twice")
		}
		t.at[name] = i
	}
	if _, ok := t.at["name"]; !ok {
		t.fault(1, "name", "the column is missing")
	}
	for {
		t.row, err = r.Read()
		line, _ := r.FieldPos(0)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(t.faults) == 0 || len(t.hosts) > 0 {
			t.take(line)
		}
	}
	return t.hosts, t.faults.orNil()
}

// table is an inventory's, as it is read.
type table struct {
	file   string
	at     map[string]int
	row    []string
	hosts  []Host
	faults Faults
}

func (t *table) fault(line int, column, format string, args ...any) {
	t.faults = append(t.faults, Fault{File: t.file, Line: line, Column: 1, Path: column, Message: fmt.Sprintf(format, args...)})
}

func (t *table) get(column string) string {
	i, ok := t.at[column]
	if !ok || i >= len(t.row) {
		return ""
	}
	return strings.TrimSpace(t.row[i])
}

// take adds a row: a host, or one more method of the host before.
func (t *table) take(line int) {
	name := t.get("name")
	n := slices.IndexFunc(t.hosts, func(h Host) bool { return h.Name == name })
	switch {
	case name == "":
		t.fault(line, "name", "missing")
		return
	case n < 0:
		t.hosts = append(t.hosts, t.host(line, name))
		n = len(t.hosts) - 1
	default:
		if other := t.host(line, name); !sameHost(t.hosts[n], other) {
			t.fault(line, "name", "%s is another host here than in a row before: leave the other columns empty in the rows of its further methods", name)
		}
	}
	if b, ok := t.method(line); ok {
		t.hosts[n].BMC = append(t.hosts[n].BMC, b)
	}
}

// sameHost says that a further row says nothing else of the host itself.
func sameHost(a, b Host) bool {
	or := func(a, b string) bool { return b == "" || a == b }
	for network, at := range b.Addresses {
		if a.Addresses[network] != at {
			return false
		}
	}
	return or(a.Domain, b.Domain) && or(a.Storage, b.Storage) && or(a.Controller, b.Controller)
}

func (t *table) host(line int, name string) Host {
	h := Host{Name: name, Domain: t.get("domain"), Storage: t.get("storage"), Controller: t.get("controller")}
	for column, network := range map[string]string{"management": "management", "storage_network": "storage", "tenant": "tenant"} {
		text := t.get(column)
		if text == "" {
			continue
		}
		a, err := netip.ParseAddr(text)
		if err != nil {
			t.fault(line, column, "%q is no IP address", text)
			continue
		}
		if h.Addresses == nil {
			h.Addresses = map[string]netip.Addr{}
		}
		h.Addresses[network] = a
	}
	return h
}

// method is the row's; none where neither a method nor an address is given.
func (t *table) method(line int) (BMC, bool) {
	b := BMC{Method: t.get("method"), Address: t.get("address"), System: t.get("system"), Username: t.get("username"), Cipher: t.get("cipher"),
		Privilege: t.get("privilege"), CA: t.get("ca"), Fingerprint: t.get("fingerprint"), Agent: t.get("agent"), Plug: t.get("plug")}
	if b.Method == "" && b.Address == "" {
		return b, false
	}
	var err error
	if text := t.get("budget"); text != "" {
		if b.Budget, err = time.ParseDuration(text); err != nil {
			t.fault(line, "budget", "%q is no duration: write such as 20s", text)
		}
	}
	if text := t.get("insecure"); text != "" {
		if b.Insecure, err = strconv.ParseBool(text); err != nil {
			t.fault(line, "insecure", "%q is neither true nor false", text)
		}
	}
	if text := t.get("password"); text != "" {
		kind, what, _ := strings.Cut(text, ":")
		switch {
		case what == "" || !slices.Contains([]string{"file", "env", "credential", "command"}, kind):
			// The value is not repeated: it may be the secret.
			t.fault(line, "password", "a secret does not stand in this file: write file:PATH, env:NAME, credential:NAME or command:PROGRAM ARGUMENT")
		case kind == "file":
			b.Password.File = what
		case kind == "env":
			b.Password.Env = what
		case kind == "credential":
			b.Password.Credential = what
		default:
			b.Password.Command = strings.Fields(what)
		}
	}
	return b, true
}

// ReadHosts reads an inventory in YAML: the section `hosts` of a controller's file.
func ReadHosts(file string, data []byte) ([]Host, error) {
	var in struct {
		Hosts []Host `yaml:"hosts"`
	}
	d := decode(file, data, &in)
	if d.readable && len(in.Hosts) == 0 && len(d.faults) == 0 {
		d.fault("hosts", "missing: write the hosts as in a controller's file")
	}
	return in.Hosts, d.faults.orNil()
}

var hostIndex = regexp.MustCompile(`^hosts\[(\d+)\]`)

// Inventory gives the section `hosts` of a controller's file with these hosts in the
// place of its own, held against the rest of the file as if it stood there. No secret
// is loaded.
func (c *Controller) Inventory(hosts []Host) (string, error) {
	whole := *c
	whole.Hosts = hosts
	_, err := ParseController("inventory", []byte(render(&whole)))
	faults, _ := errors.AsType[Faults](err)
	var errs []error
	for _, f := range faults {
		where := f.Path
		if m := hostIndex.FindStringSubmatch(f.Path); m != nil {
			if i, err := strconv.Atoi(m[1]); err == nil && i < len(hosts) {
				where = hosts[i].Name + strings.TrimPrefix(f.Path, m[0])
			}
		}
		errs = append(errs, fmt.Errorf("%s: %s", where, f.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return render(struct {
		Hosts []Host `yaml:"hosts"`
	}{hosts}), nil
}

// Table writes hosts as an inventory's table, without what it has no columns for.
func Table(hosts []Host) string {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write(columns)
	for _, h := range hosts {
		for i, b := range append(h.BMC, BMC{})[:max(len(h.BMC), 1)] {
			row := map[string]string{"name": h.Name, "method": b.Method, "address": b.Address, "system": b.System, "username": b.Username, "password": b.Password.column(),
				"cipher": b.Cipher, "privilege": b.Privilege, "ca": b.CA, "fingerprint": b.Fingerprint, "agent": b.Agent, "plug": b.Plug}
			if i == 0 {
				row["domain"], row["storage"], row["controller"] = h.Domain, h.Storage, h.Controller
				for column, network := range map[string]string{"management": "management", "storage_network": "storage", "tenant": "tenant"} {
					if a := h.Addresses[network]; a.IsValid() {
						row[column] = a.String()
					}
				}
			}
			if b.Budget > 0 {
				row["budget"] = b.Budget.String()
			}
			if b.Insecure {
				row["insecure"] = "true"
			}
			record := make([]string, 0, len(columns))
			for _, c := range columns {
				record = append(record, row[c])
			}
			_ = w.Write(record)
		}
	}
	w.Flush()
	return out.String()
}

// column is a secret's reference as a table has it.
func (s Secret) column() string {
	switch {
	case s.File != "":
		return "file:" + s.File
	case s.Env != "":
		return "env:" + s.Env
	case s.Credential != "":
		return "credential:" + s.Credential
	case len(s.Command) > 0:
		return "command:" + strings.Join(s.Command, " ")
	}
	return ""
}
