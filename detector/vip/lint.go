package vip

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// File is a file to be looked at.
type File struct{ Name, Text string }

// Mistake is one thing that a file gets wrong.
type Mistake struct {
	File string `json:"file"`
	Line int    `json:"line"` // 0: something is missing
	Rule string `json:"rule"`
	// Text says what follows from it, Do what to write.
	Text string `json:"text"`
	Do   string `json:"do"`
}

func (m Mistake) String() string {
	at := m.File
	if m.Line > 0 {
		at += ":" + strconv.Itoa(m.Line)
	}
	return fmt.Sprintf("%s: %s: %s; %s", at, m.Rule, m.Text, m.Do)
}

// Lint looks for what docs/vip.md lists, in keepalived.conf, haproxy.cfg, Kolla's
// globals.yml, sysctl files and units of systemd. Each kind is known by its text.
func Lint(files []File) []Mistake {
	all := []Mistake{}
	for _, f := range files {
		l := &linter{file: f}
		switch {
		case strings.Contains(f.Text, "vrrp_instance"):
			l.keepalived()
		case strings.Contains(f.Text, "kolla_") || strings.Contains(f.Text, "enable_haproxy"):
			l.kolla()
		case strings.Contains(f.Text, "[Service]"):
			l.unit()
		case hasLine(f.Text, "defaults") || hasLine(f.Text, "frontend") || hasLine(f.Text, "listen") || hasLine(f.Text, "backend"):
			l.haproxy()
		case strings.Contains(f.Text, "net.ipv4."):
			l.sysctl()
		default:
			l.say(0, "unknown-file", "this is no file of keepalived, HAProxy, Kolla, sysctl or systemd that is known here", "give another")
		}
		all = append(all, l.found...)
	}
	slices.SortStableFunc(all, func(a, b Mistake) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Rule, b.Rule))
	})
	return all
}

type linter struct {
	file  File
	found []Mistake
}

func (l *linter) say(line int, rule, text, do string) {
	l.found = append(l.found, Mistake{File: l.file.Name, Line: line, Rule: rule, Text: text, Do: do})
}

func hasLine(text, first string) bool {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == first {
			return true
		}
	}
	return false
}

// word is one line's words with its number, comments taken off.
type wordLine struct {
	n     int
	words []string
	// block is the chain of blocks around it: "vrrp_instance VI_1".
	block []string
}

// blocks reads a file of keepalived: a line that ends in { opens a block, } closes it.
func blocks(text string) []wordLine {
	var out []wordLine
	var open []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		if at := strings.IndexAny(line, "#!"); at >= 0 {
			line = line[:at]
		}
		line = strings.ReplaceAll(strings.ReplaceAll(line, "{", " { "), "}", " } ")
		var words []string
		for _, w := range strings.Fields(line) {
			switch w {
			case "{":
				out = append(out, wordLine{n, words, slices.Clone(open)})
				open, words = append(slices.Clip(open), strings.Join(words, " ")), nil
			case "}":
				if len(words) > 0 {
					out = append(out, wordLine{n, words, slices.Clone(open)})
				}
				open, words = open[:max(0, len(open)-1)], nil
			default:
				words = append(words, w)
			}
		}
		if len(words) > 0 {
			out = append(out, wordLine{n, words, slices.Clone(open)})
		}
	}
	return out
}

// instance is what a vrrp_instance says.
type instance struct {
	name             string
	line             int
	options          map[string]wordLine
	addresses, peers int
	scripts          []wordLine
}

// config is a whole keepalived.conf.
type keepalivedConfig struct {
	global    map[string]wordLine
	instances []*instance
	scripts   map[string]map[string]wordLine
}

func readKeepalived(text string) keepalivedConfig {
	k := keepalivedConfig{global: map[string]wordLine{}, scripts: map[string]map[string]wordLine{}}
	at := map[string]*instance{}
	for _, w := range blocks(text) {
		if len(w.words) == 0 {
			continue
		}
		if len(w.block) == 0 {
			if w.words[0] == "vrrp_instance" && len(w.words) > 1 {
				i := &instance{name: w.words[1], line: w.n, options: map[string]wordLine{}}
				at["vrrp_instance "+w.words[1]] = i
				k.instances = append(k.instances, i)
			}
			continue
		}
		name, kind := w.block[0], strings.Fields(w.block[0])[0]
		switch {
		case kind == "global_defs" && len(w.block) == 1:
			k.global[w.words[0]] = w
		case kind == "vrrp_script" && len(w.block) == 1:
			if k.scripts[name] == nil {
				k.scripts[name] = map[string]wordLine{}
			}
			k.scripts[name][w.words[0]] = w
		case at[name] != nil:
			at[name].take(w)
		}
	}
	return k
}

func (i *instance) take(w wordLine) {
	if len(w.block) == 1 {
		i.options[w.words[0]] = w
		return
	}
	switch w.block[1] {
	case "virtual_ipaddress", "virtual_ipaddress_excluded":
		i.addresses++
	case "unicast_peer":
		i.peers++
	case "track_script":
		i.scripts = append(i.scripts, w)
	}
}

// value is an option's first number, of the instance or of the globals.
func (k keepalivedConfig) value(i *instance, names ...string) (n float64, line int, given bool) {
	for _, name := range names {
		w, ok := i.options[name]
		if !ok {
			w, ok = k.global[name]
		}
		if ok {
			if len(w.words) > 1 {
				n, _ = strconv.ParseFloat(w.words[1], 64)
			}
			return n, w.n, true
		}
	}
	return 0, 0, false
}

func (k keepalivedConfig) has(i *instance, names ...string) bool {
	_, _, given := k.value(i, names...)
	return given
}
