// hash-types prints, as JSON, how Go's encoding/json writes the Kubernetes types that a Workspace may hold: the order of the
// members, their types, and which are written even when they are empty. data/hash-types.json is its output; the hash of a
// Workspace (src/api/hash.c) depends on each byte of that text.
//
//	go run ./cmd/hash-types > ../../data/hash-types.json
//
// Form: type -> [[member, type], …]; a member that is left out when empty ends with "omitempty", one that is left out when it is the
// zero value with "omitzero". Types are written as in Go. Members of embedded structs stand where they are embedded.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	marshaler = reflect.TypeOf((*json.Marshaler)(nil)).Elem()
	structs   = map[string][][]string{}
	seen      = map[string]reflect.Type{}
)

// Types that write themselves; the C side knows each by name.
var opaque = map[string]string{
	"resource.Quantity": "quantity", "v1.Time": "time", "v1.MicroTime": "microtime", "intstr.IntOrString": "intstr", "v1.FieldsV1": "raw",
}

func name(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + name(t.Elem())
	case reflect.Map:
		return "map[]" + name(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string" // base64 in JSON
		}
		return "[]" + name(t.Elem())
	}
	if o, ok := opaque[t.String()]; ok {
		return o
	}
	if t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
		panic(t.String() + " writes itself")
	}
	switch t.Kind() {
	case reflect.Struct:
		visit(t)
		return t.Name()
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	}
	panic("no rule for " + t.String())
}

func members(t reflect.Type) (out [][]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" {
			continue
		}
		if f.Anonymous && tag == "" {
			out = append(out, members(f.Type)...)
			continue
		}
		row := []string{tag, name(f.Type)}
		// a struct is never empty for encoding/json
		if strings.Contains(options, "omitempty") && f.Type.Kind() != reflect.Struct {
			row = append(row, "omitempty")
		} else if strings.Contains(options, "omitzero") {
			row = append(row, "omitzero")
		}
		out = append(out, row)
	}
	return out
}

func visit(t reflect.Type) {
	if was, ok := seen[t.Name()]; ok {
		if was != t {
			panic("two types are called " + t.Name())
		}
		return
	}
	seen[t.Name()] = t
	structs[t.Name()] = members(t)
}

func main() {
	for _, root := range []any{core.PodTemplateSpec{}, core.VolumeSource{}, meta.LabelSelector{}} {
		visit(reflect.TypeOf(root))
	}
	names := make([]string, 0, len(structs))
	for n := range structs {
		names = append(names, n)
	}
	sort.Strings(names)
	var out bytes.Buffer
	for i, n := range names {
		text, err := json.Marshal(structs[n])
		if err != nil {
			panic(err)
		}
		separator := ",\n"
		if i == 0 {
			separator = "{\n"
		}
		fmt.Fprintf(&out, "%s%q: %s", separator, n, text)
	}
	out.WriteString("\n}\n")
	os.Stdout.Write(out.Bytes())
}
