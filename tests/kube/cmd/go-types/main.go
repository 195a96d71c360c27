// go-types prints, as JSON, what OpenAPI does not tell about the Go types of the built-in kinds: the names of types (error
// messages of the decoder carry them), and which members are written even when they are empty.
package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v1"
	batch "k8s.io/api/batch/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	rbac "k8s.io/api/rbac/v1"
	storage "k8s.io/api/storage/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type field struct {
	Type          string `json:"type"`
	OmitEmpty     bool   `json:"omitEmpty"`
	OmitZero      bool   `json:"omitZero"`
	PatchStrategy string `json:"patchStrategy,omitempty"`
	PatchMergeKey string `json:"patchMergeKey,omitempty"`
	Order         int    `json:"order"`
	In            string `json:"in,omitempty"` // the embedded struct that it is a member of
}

type dump struct {
	Roots   map[string]string           `json:"roots"`
	Named   map[string]string           `json:"named"`  // types with a name that are no structs
	Opaque  map[string]bool             `json:"opaque"` // types that read and write themselves
	Structs map[string]map[string]field `json:"structs"`
	OpenAPI map[string]string           `json:"openAPI"` // struct -> name of its OpenAPI schema
}

var (
	out         = dump{map[string]string{}, map[string]string{}, map[string]bool{}, map[string]map[string]field{}, map[string]string{}}
	seen        = map[string]reflect.Type{}
	unmarshaler = reflect.TypeOf((*json.Unmarshaler)(nil)).Elem()
)

func visit(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		if t.Name() == "" {
			visit(t.Elem())
			return
		}
	case reflect.Map:
		if t.Name() == "" {
			visit(t.Key())
			visit(t.Elem())
			return
		}
	}
	if t.PkgPath() == "" {
		return
	}
	name := nameOf(t)
	if was, ok := seen[name]; ok {
		// a name of two packages does no harm while it means the same
		if was != t && under(was) != under(t) {
			panic("two types are called " + name)
		}
		return
	}
	seen[name] = t
	if reflect.PointerTo(t).Implements(unmarshaler) {
		out.Opaque[name] = true
		return
	}
	if t.Kind() != reflect.Struct {
		out.Named[name] = under(t)
		if t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
			visit(t.Elem())
		}
		return
	}
	fields := map[string]field{}
	out.Structs[name] = fields
	path := strings.ReplaceAll(t.PkgPath(), "/", ".")
	out.OpenAPI[name] = path + "." + t.Name()
	collect(t, "", fields)
}

// Two packages have types of one name that differ: those of this one are told apart.
var renamed = map[reflect.Type]string{
	reflect.TypeOf(discovery.EndpointPort{}): "discovery.v1.EndpointPort",
}

func nameOf(t reflect.Type) string {
	if name, ok := renamed[t]; ok {
		return name
	}
	if t.Name() == "" {
		switch t.Kind() {
		case reflect.Pointer:
			return "*" + nameOf(t.Elem())
		case reflect.Slice:
			return "[]" + nameOf(t.Elem())
		}
	}
	return t.String()
}

// The type behind a name, written with the names of its parts.
func under(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		return "map[" + t.Key().String() + "]" + t.Elem().String()
	case reflect.Slice:
		return "[]" + t.Elem().String()
	case reflect.Struct:
		text := "struct"
		for i := 0; i < t.NumField(); i++ {
			f := t.Field(i)
			text += " " + f.Name + " " + f.Type.String() + " " + string(f.Tag)
		}
		return text
	}
	return t.Kind().String()
}

func collect(t reflect.Type, in string, fields map[string]field) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		parts := strings.Split(f.Tag.Get("json"), ",")
		if f.Anonymous && parts[0] == "" {
			collect(f.Type, strings.TrimPrefix(in+"."+f.Name, "."), fields)
			continue
		}
		if parts[0] == "-" || parts[0] == "" {
			continue
		}
		r := field{Type: nameOf(f.Type), Order: len(fields), In: in,
			PatchStrategy: f.Tag.Get("patchStrategy"), PatchMergeKey: f.Tag.Get("patchMergeKey")}
		for _, option := range parts[1:] {
			r.OmitEmpty = r.OmitEmpty || option == "omitempty"
			r.OmitZero = r.OmitZero || option == "omitzero"
		}
		fields[parts[0]] = r
		visit(f.Type)
	}
}

func main() {
	for key, value := range map[string]any{
		"v1/Namespace": core.Namespace{}, "v1/Node": core.Node{}, "v1/Pod": core.Pod{}, "v1/Service": core.Service{},
		"v1/Endpoints": core.Endpoints{}, "v1/ConfigMap": core.ConfigMap{}, "v1/Secret": core.Secret{},
		"v1/Event": core.Event{}, "v1/ServiceAccount": core.ServiceAccount{},
		"v1/PersistentVolumeClaim": core.PersistentVolumeClaim{}, "apps/v1/StatefulSet": apps.StatefulSet{},
		"apps/v1/ControllerRevision": apps.ControllerRevision{}, "coordination.k8s.io/v1/Lease": coordination.Lease{},
		"apiextensions.k8s.io/v1/CustomResourceDefinition": apiextensions.CustomResourceDefinition{},
		"autoscaling/v1/Scale":                             autoscaling.Scale{}, "v1/Binding": core.Binding{},
		"meta.k8s.io/v1/DeleteOptions":                                   meta.DeleteOptions{},
		"admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration": admission.ValidatingWebhookConfiguration{},
		"apps/v1/Deployment":                                             apps.Deployment{}, "apps/v1/ReplicaSet": apps.ReplicaSet{}, "batch/v1/Job": batch.Job{},
		"discovery.k8s.io/v1/EndpointSlice": discovery.EndpointSlice{}, "v1/PersistentVolume": core.PersistentVolume{},
		"rbac.authorization.k8s.io/v1/Role":        rbac.Role{},
		"rbac.authorization.k8s.io/v1/RoleBinding": rbac.RoleBinding{},
		"storage.k8s.io/v1/CSIDriver":              storage.CSIDriver{},
		"storage.k8s.io/v1/StorageClass":           storage.StorageClass{},
	} {
		t := reflect.TypeOf(value)
		out.Roots[key] = t.String()
		visit(t)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(out); err != nil {
		panic(err)
	}
}
