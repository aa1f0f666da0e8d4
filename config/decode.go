package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder walks the syntax tree itself: the library's strict mode stops at the
// first fault, and gives no line for a bad duration.
type decoder struct {
	source
	faults Faults
	// readable says that the file is a mapping, so that checks make sense.
	readable bool
	// bad holds the keys that have a fault already: one is enough.
	bad map[string]bool
}

// decode fills into (a pointer to a struct that holds the defaults) from data.
func decode(name string, data []byte, into any) *decoder {
	d := &decoder{source: source{file: name, places: map[string]place{}}, bad: map[string]bool{}}
	file, err := parse(data)
	if err != nil {
		at, message := place{1, 1}, err.Error()
		if syntax, ok := errors.AsType[yaml.Error](err); ok && syntax.GetToken() != nil {
			at, message = of(syntax.GetToken()), syntax.GetMessage()
		}
		message, _, _ = strings.Cut(message, "\n")
		d.faults = append(d.faults, Fault{File: name, Line: at.line, Column: at.column, Message: "not YAML: " + message})
		return d
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType {
			continue
		}
		if body != nil {
			at := start(doc.Body)
			d.faults = append(d.faults, Fault{name, at.line, at.column, "", "a second document begins here: keep one, and remove the line ---"})
			return d
		}
		body = doc.Body
	}
	d.readable = true
	if body == nil {
		return d // empty: the checks name what is missing
	}
	if _, ok := body.(ast.MapNode); !ok {
		d.readable = false
		d.fault("", "the file is no mapping: write lines such as `cluster: region-one`")
		return d
	}
	d.value(body, reflect.ValueOf(into).Elem(), "")
	return d
}

// parse turns a panic of the library into an error: the file is an operator's.
func parse(data []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// fault notes a mistake, once for each key and what is below it.
func (d *decoder) fault(path, format string, args ...any) {
	if d.faulty(path) {
		return
	}
	d.bad[path] = true
	d.faults = append(d.faults, d.source.fault(path, format, args...))
}

// faulty says that a key, or one around it, has a fault already.
func (d *decoder) faulty(path string) bool {
	for ; path != ""; path = above(path) {
		if d.bad[path] {
			return true
		}
	}
	return d.bad[""]
}

// given says that a key stands in the file.
func (d *decoder) given(path string) bool {
	_, ok := d.places[path]
	return ok
}

func of(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{1, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

// start is where a node begins for a reader: a mapping at its first key.
func start(n ast.Node) place {
	if m, ok := n.(ast.MapNode); ok {
		if it := m.MapRange(); it.Next() {
			return of(it.Key().GetToken())
		}
	}
	return of(n.GetToken())
}

// value decodes one node. Null leaves the default.
func (d *decoder) value(n ast.Node, into reflect.Value, path string) {
	switch n.(type) {
	case *ast.NullNode:
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.fault(path, "anchors (&), aliases (*) and tags (!) are not read here: write the value itself, or use `defaults`")
		return
	}
	switch p := into.Addr().Interface().(type) {
	case *time.Duration:
		scalar(d, n, path, p, duration)
		return
	case *netip.Addr:
		scalar(d, n, path, p, address)
		return
	case *netip.AddrPort:
		scalar(d, n, path, p, addressPort)
		return
	case *Secret:
		if _, ok := n.(ast.MapNode); !ok {
			// The value is not repeated: it may be the secret.
			d.fault(path, "a secret does not stand in this file: write {file: PATH}, {env: NAME}, {credential: NAME} or {command: [PROGRAM]}")
			return
		}
	}
	switch into.Kind() {
	case reflect.Struct:
		d.mapping(n, into, path)
	case reflect.Map:
		d.dictionary(n, into, path)
	case reflect.Slice:
		d.list(n, into, path)
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			into.SetString(s)
		}
	case reflect.Int:
		v := int(into.Int())
		scalar(d, n, path, &v, number)
		into.SetInt(int64(v))
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			into.SetBool(b.Value)
		} else {
			d.fault(path, "write true or false")
		}
	default:
		panic("config: no decoder for " + into.Type().String())
	}
}

func (d *decoder) mapping(n ast.Node, into reflect.Value, path string) {
	fields, names := fieldsOf(into.Type())
	d.pairs(n, path, func(name, at string, value ast.Node) {
		i, ok := fields[name]
		if !ok {
			if near, ok := nearest(name, names); ok {
				d.fault(at, "unknown key: did you mean %q?", near)
				d.bad[key(path, near)] = true // not missing as well
			} else {
				d.fault(at, "unknown key: use %s", strings.Join(names, ", "))
			}
			return
		}
		d.note(at, value)
		d.value(value, into.Field(i), at)
	})
}

func (d *decoder) dictionary(n ast.Node, into reflect.Value, path string) {
	m := reflect.MakeMap(into.Type())
	d.pairs(n, path, func(name, at string, value ast.Node) {
		d.note(at, value)
		v := reflect.New(into.Type().Elem()).Elem()
		d.value(value, v, at)
		m.SetMapIndex(reflect.ValueOf(name), v)
	})
	into.Set(m)
}

// pairs calls each for every key of a mapping, and notes where it stands.
func (d *decoder) pairs(n ast.Node, path string, each func(name, at string, value ast.Node)) {
	m, ok := n.(ast.MapNode)
	if !ok {
		d.fault(path, "a mapping is needed here: `key: value` lines, or {key: value}")
		return
	}
	seen := map[string]bool{}
	for it := m.MapRange(); it.Next(); {
		node, name := it.Key(), ""
		if t := node.GetToken(); t != nil {
			name = t.Value
		}
		at := key(path, name)
		if seen[name] {
			p := of(node.GetToken())
			d.faults = append(d.faults, Fault{d.file, p.line, p.column, at, "given twice: remove one"})
			continue
		}
		seen[name] = true
		d.places[at] = of(node.GetToken())
		if _, plain := node.(ast.ScalarNode); !plain || node.IsMergeKey() {
			d.fault(at, "only plain words are keys here")
			continue
		}
		if value := it.Value(); value != nil {
			each(name, at, value)
		}
	}
}

// note moves a key's place to its value, where that is a word on the same line.
func (d *decoder) note(at string, value ast.Node) {
	switch value.(type) {
	case ast.MapNode, ast.ArrayNode, *ast.NullNode:
	default:
		if p := of(value.GetToken()); p.line >= d.places[at].line {
			d.places[at] = p
		}
	}
}

func (d *decoder) list(n ast.Node, into reflect.Value, path string) {
	array, ok := n.(ast.ArrayNode)
	if !ok {
		d.fault(path, "a list is needed here: `- item` lines, or [item, item]")
		return
	}
	list := reflect.MakeSlice(into.Type(), 0, 0)
	for it := array.ArrayRange(); it.Next(); {
		at := item(path, list.Len())
		d.places[at] = start(it.Value())
		v := reflect.New(into.Type().Elem()).Elem()
		d.value(it.Value(), v, at)
		list = reflect.Append(list, v)
	}
	into.Set(list)
}

// text takes a string, and a number as it was written.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	}
	d.fault(path, "a word is needed here; quote it where YAML reads it as something else")
	return "", false
}

// scalar decodes a word by what reads it, whose error says how to mend it.
func scalar[T any](d *decoder, n ast.Node, path string, into *T, read func(string) (T, error)) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	v, err := read(s)
	if err != nil {
		d.fault(path, "%v", err)
		return
	}
	*into = v
}

func number(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", s)
	}
	return n, nil
}

func duration(s string) (time.Duration, error) {
	v, err := time.ParseDuration(s)
	switch _, plain := strconv.ParseFloat(s, 64); {
	case plain == nil && s != "0":
		return 0, fmt.Errorf("%q has no unit: write %ss for seconds, or use ms, m, h", s, s)
	case err != nil:
		return 0, fmt.Errorf("%q is no duration: write such as 500ms, 5s, 3m", s)
	case v < 0:
		return 0, fmt.Errorf("%q is negative", s)
	}
	return v, nil
}

func address(s string) (netip.Addr, error) {
	v, err := netip.ParseAddr(s)
	switch {
	case err == nil:
		return v.Unmap(), nil
	case strings.Contains(s, "/"):
		return v, fmt.Errorf("%q is a network: write one address of it", s)
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return v, fmt.Errorf("%q has a port: write the address alone", s)
	}
	return v, fmt.Errorf("%q is no IP address; names are not resolved, since name service may be gone in an incident", s)
}

func addressPort(s string) (netip.AddrPort, error) {
	v, err := netip.ParseAddrPort(s)
	if err == nil {
		return netip.AddrPortFrom(v.Addr().Unmap(), v.Port()), nil
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return v, fmt.Errorf("%q has no port: write IP:port, of IPv6 [IP]:port", s)
	}
	return v, fmt.Errorf("%q is no IP:port (of IPv6: [IP]:port); names are not resolved, since name service may be gone in an incident", s)
}

// fieldsOf gives a struct's keys, and their names in order.
func fieldsOf(t reflect.Type) (map[string]int, []string) {
	fields, names := map[string]int{}, []string{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" && name != "-" {
			fields[name] = i
			names = append(names, name)
		}
	}
	return fields, names
}
