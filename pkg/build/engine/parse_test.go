package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/api/resource"
)

func TestFilesAreReadAsByKustomize(t *testing.T) {
	t.Parallel()
	many := strings.Builder{}
	for i := range 50 {
		fmt.Fprintf(&many, "  k%d: v\n", i)
	}
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for name, file := range map[string]struct {
		text string
		sure bool
	}{
		"an object":        {"# head\n" + object + "data:\n  a: b # line\n  l: [1, {x: y}, null]\n  t: |\n    text\n  # foot\n", true},
		"objects":          {object + "---\n# nothing\n---\n" + strings.Replace(object, "name: a", "name: b", 1), true},
		"line ends":        {strings.ReplaceAll(object, "\n", "\r\n"), true},
		"many keys":        {object + "data:\n" + many.String(), true},
		"a key of many":    {object + "data:\n" + many.String() + "  k7: again\n", false},
		"a key twice":      {object + "data: {a: b, a: c}\n", false},
		"an empty key":     {object + "data: {'': b}\n", false},
		"a mapping as key": {object + "data: {? {a: b} : c}\n", false},
		"an anchor":        {object + "data: &d {a: b}\nmore: *d\n", false},
		"a merge":          {object + "data: {<<: {a: b}, c: d}\n", false},
		"a quoted merge":   {object + "data: {'<<': x}\n", false},
		"a list":           {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]\n", true},
		"a list of a kind": {"apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]\n", false},
		"lists":            {"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]\n---\n" + object, false},
		"nothing":          {"", true},
		"a comment":        {"# nothing\n", true},
		"no name":          {"apiVersion: v1\nkind: ConfigMap\n", false},
		"text":             {"text\n", false},
		"broken":           {"a: [", false},
	} {
		factory := provider.NewDefaultDepProvider().GetResourceFactory()
		want, wanted := factory.SliceFromBytes([]byte(file.text))
		if _, sure := parsePlain([]byte(file.text)); sure != file.sure {
			t.Errorf("%s: read plainly is %v", name, sure)
		}
		got, err := (&build{factory: factory}).parse([]byte(file.text))
		if (err != nil) != (wanted != nil) {
			t.Errorf("%s: error %v, kustomize's is %v", name, err, wanted)
		}
		if diff := cmp.Diff(written(t, want), written(t, got)); diff != "" {
			t.Errorf("%s (-kustomize +here):\n%s", name, diff)
		}
	}
}

func written(t *testing.T, objects []*resource.Resource) []string {
	t.Helper()
	var all []string
	for _, o := range objects {
		text, err := o.RNode.String()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}
