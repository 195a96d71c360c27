// protobuf-types prints, as JSON, the protobuf field numbers of the Go types of the built-in kinds. data/kinds-protobuf.json is
// its output; data/kinds.json has the types of the members.
//
//	go run ./cmd/protobuf-types > ../../data/kinds-protobuf.json
//	go run ./cmd/protobuf-types -vectors > ../data/protobuf-vectors.jsonl
//
// Form: struct -> number -> member. An embedded struct is a message of its own on the wire while its members stand beside those of
// the struct around it in JSON; its entry is a table of the same form instead of a name.
//
// With -vectors: objects of these kinds, one per line, as Go writes them: {"name", "kind", "protobuf": base64, "json"}. The "full" ones have
// every member set, the "zero" ones none.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

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
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type kind struct {
	apiVersion, name string
	object           func() runtime.Object
}

var kinds = []kind{
	{"v1", "Namespace", func() runtime.Object { return &core.Namespace{} }},
	{"v1", "Node", func() runtime.Object { return &core.Node{} }},
	{"v1", "Pod", func() runtime.Object { return &core.Pod{} }},
	{"v1", "Service", func() runtime.Object { return &core.Service{} }},
	{"v1", "Endpoints", func() runtime.Object { return &core.Endpoints{} }},
	{"v1", "ConfigMap", func() runtime.Object { return &core.ConfigMap{} }},
	{"v1", "Secret", func() runtime.Object { return &core.Secret{} }},
	{"v1", "Event", func() runtime.Object { return &core.Event{} }},
	{"v1", "ServiceAccount", func() runtime.Object { return &core.ServiceAccount{} }},
	{"v1", "PersistentVolumeClaim", func() runtime.Object { return &core.PersistentVolumeClaim{} }},
	{"v1", "Binding", func() runtime.Object { return &core.Binding{} }},
	{"v1", "DeleteOptions", func() runtime.Object { return &meta.DeleteOptions{} }},
	{"apps/v1", "StatefulSet", func() runtime.Object { return &apps.StatefulSet{} }},
	{"apps/v1", "ControllerRevision", func() runtime.Object { return &apps.ControllerRevision{} }},
	{"autoscaling/v1", "Scale", func() runtime.Object { return &autoscaling.Scale{} }},
	{"coordination.k8s.io/v1", "Lease", func() runtime.Object { return &coordination.Lease{} }},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition",
		func() runtime.Object { return &apiextensions.CustomResourceDefinition{} }},
	{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
		func() runtime.Object { return &admission.ValidatingWebhookConfiguration{} }},
	{"apps/v1", "Deployment", func() runtime.Object { return &apps.Deployment{} }},
	{"apps/v1", "ReplicaSet", func() runtime.Object { return &apps.ReplicaSet{} }},
	{"batch/v1", "Job", func() runtime.Object { return &batch.Job{} }},
	{"discovery.k8s.io/v1", "EndpointSlice", func() runtime.Object { return &discovery.EndpointSlice{} }},
	{"v1", "PersistentVolume", func() runtime.Object { return &core.PersistentVolume{} }},
	{"rbac.authorization.k8s.io/v1", "Role", func() runtime.Object { return &rbac.Role{} }},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", func() runtime.Object { return &rbac.RoleBinding{} }},
	{"storage.k8s.io/v1", "CSIDriver", func() runtime.Object { return &storage.CSIDriver{} }},
	{"storage.k8s.io/v1", "StorageClass", func() runtime.Object { return &storage.StorageClass{} }},
}

// ---- field numbers ------------------------------------------------------------------------------------------------------------

var (
	structs     = map[string]map[string]any{}
	unmarshaler = reflect.TypeOf((*json.Unmarshaler)(nil)).Elem()
)

// As in data/kinds.json, where two types of one name are told apart.
func nameOf(t reflect.Type) string {
	if t == reflect.TypeOf(discovery.EndpointPort{}) {
		return "discovery.v1.EndpointPort"
	}
	return t.String()
}

func visit(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		visit(t.Elem())
	case reflect.Struct:
		// types that write themselves have a form of their own in protobuf too, which the C side knows; the unions of CRD
		// schemas hold schemas
		if reflect.PointerTo(t).Implements(unmarshaler) || structs[nameOf(t)] != nil {
			return
		}
		structs[nameOf(t)] = map[string]any{}
		collect(t, structs[nameOf(t)])
	}
}

func collect(t reflect.Type, numbers map[string]any) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue
		}
		name := strings.Split(f.Tag.Get("json"), ",")[0]
		if f.Anonymous && name == "" {
			inline := map[string]any{}
			numbers[tag[1]] = inline
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			collect(inner, inline)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		numbers[tag[1]] = name
		visit(f.Type)
	}
}

func printNumbers() {
	for _, k := range kinds {
		visit(reflect.TypeOf(k.object()))
	}
	names := make([]string, 0, len(structs))
	for name := range structs {
		if len(structs[name]) > 0 {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	fmt.Println("{")
	for i, name := range names {
		text, err := json.Marshal(structs[name])
		must(err)
		comma := ","
		if i == len(names)-1 {
			comma = ""
		}
		fmt.Printf("%q: %s%s\n", name, text, comma)
	}
	fmt.Println("}")
}

// ---- vectors ------------------------------------------------------------------------------------------------------------------

type filler struct {
	n     int
	depth map[reflect.Type]int // schemas hold schemas
}

func (f *filler) next() int {
	f.n++
	return f.n
}

// Gives each member a value that no other has.
func (f *filler) fill(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *meta.TypeMeta:
		return
	case *meta.Time:
		*x = meta.NewTime(time.Unix(1700000000+int64(f.next()), 0).UTC())
		return
	case *meta.MicroTime:
		*x = meta.NewMicroTime(time.Unix(1700000000, int64(f.next())*1000).UTC())
		return
	case *resource.Quantity:
		*x = resource.MustParse(fmt.Sprintf("%dMi", 1001+2*f.next()))
		return
	case *intstr.IntOrString:
		if f.next()%2 == 0 {
			*x = intstr.FromInt32(int32(f.n))
		} else {
			*x = intstr.FromString(fmt.Sprint("port-", f.n))
		}
		return
	case *runtime.RawExtension:
		x.Raw = []byte(fmt.Sprintf(`{"raw":%d}`, f.next()))
		return
	case *meta.FieldsV1:
		x.Raw = []byte(fmt.Sprintf(`{"f:spec":{"f:n%d":{}}}`, f.next()))
		return
	case *apiextensions.JSON:
		x.Raw = []byte(fmt.Sprintf(`[%d,null,{"a":"b"}]`, f.next()))
		return
	case *apiextensions.JSONSchemaPropsOrBool:
		*x = apiextensions.JSONSchemaPropsOrBool{Allows: true}
		if f.depth[v.Type()] == 0 {
			f.depth[v.Type()]++
			x.Schema = &apiextensions.JSONSchemaProps{Description: fmt.Sprint("or bool ", f.next())}
		}
		return
	case *apiextensions.JSONSchemaPropsOrArray:
		if f.depth[v.Type()]++; f.depth[v.Type()] == 1 {
			x.JSONSchemas = []apiextensions.JSONSchemaProps{{Type: "string"}, {Type: "number"}}
		} else {
			x.Schema = &apiextensions.JSONSchemaProps{Description: fmt.Sprint("or array ", f.next())}
		}
		return
	case *apiextensions.JSONSchemaPropsOrStringArray:
		if f.depth[v.Type()]++; f.depth[v.Type()] == 1 {
			x.Property = []string{"a", "b"}
		} else {
			x.Schema = &apiextensions.JSONSchemaProps{Description: fmt.Sprint("or strings ", f.next())}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.next()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		n := int64(f.next())
		if n%3 == 0 {
			n = -n
		}
		v.SetInt(n)
	case reflect.Float64:
		v.SetFloat(float64(f.next()) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{0, byte(f.next()), 255})
			return
		}
		count := 2
		if v.Type().Elem().Kind() == reflect.Struct {
			count = 1
		}
		v.Set(reflect.MakeSlice(v.Type(), count, count))
		for i := 0; i < count; i++ {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i < 2; i++ {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key)
			f.fill(value)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeOf(apiextensions.JSONSchemaProps{}) {
			if f.depth[v.Type()] > 0 {
				v.FieldByName("Title").SetString(fmt.Sprint("inner ", f.next()))
				return
			}
			f.depth[v.Type()]++
		}
		for i := 0; i < v.NumField(); i++ {
			if v.Type().Field(i).IsExported() {
				f.fill(v.Field(i))
			}
		}
	default:
		panic(v.Type().String() + " cannot be filled")
	}
}

func vector(name string, k kind, object runtime.Object) {
	gv, err := schema.ParseGroupVersion(k.apiVersion)
	must(err)
	object.GetObjectKind().SetGroupVersionKind(gv.WithKind(k.name))
	var wire bytes.Buffer
	must(protobuf.NewSerializer(nil, nil).Encode(object, &wire))
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	must(encoder.Encode(map[string]any{"name": name, "kind": k.name, "protobuf": wire.Bytes(), "json": object}))
	os.Stdout.Write(text.Bytes())
}

func printVectors() {
	for _, k := range kinds {
		vector("zero "+k.name, k, k.object())
		full := k.object()
		(&filler{depth: map[reflect.Type]int{}}).fill(reflect.ValueOf(full).Elem())
		vector("full "+k.name, k, full)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	vectors := flag.Bool("vectors", false, "print objects instead")
	flag.Parse()
	if *vectors {
		printVectors()
	} else {
		printNumbers()
	}
}
