package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/build/engine"
	"github.com/google/go-cmp/cmp"
)

const settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"

func TestOnlyWhatChangedIsReadAgain(t *testing.T) {
	t.Parallel()
	files := benchTree(30, true)
	files["/app/kustomization.yaml"] += "configMapGenerator: [{name: generated, files: [file.txt]}]\n"
	files["/app/file.txt"] = "one\n"
	files["/base/o0.yaml"] = strings.Replace(files["/base/o0.yaml"], "name: c1\n", "name: generated\n", 1)
	e := engine.New(16 << 20)
	build := func() []string {
		fsys := &recording{digests: digestsOf(files)}
		got, err := e.Build(t.Context(), fsys, "/app")
		if err != nil {
			t.Fatal(err)
		}
		want, err := kustomize(fsOf(files), "/app")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(join(want), join(got)); diff != "" {
			t.Errorf("(-kustomize +here):\n%s", diff)
		}
		slices.Sort(fsys.read)
		return slices.Compact(fsys.read)
	}
	if read := build(); len(read) != len(files) {
		t.Errorf("the first build read %d of %d files", len(read), len(files))
	}
	for _, step := range []struct {
		file, content string
		want          []string
	}{
		{want: nil},
		{"/base/o1.yaml", strings.Replace(files["/base/o1.yaml"], "a: b", "a: c", 1), []string{"/base/o1.yaml"}},
		{"/base/kustomization.yaml", files["/base/kustomization.yaml"] + "- new.yaml\n", []string{"/base/kustomization.yaml", "/base/new.yaml"}},
		// The hash behind the generated name is another one, which one object refers to.
		{"/app/file.txt", "two\n", []string{"/app/file.txt", "/base/o0.yaml"}},
		{"/app/kustomization.yaml", strings.Replace(files["/app/kustomization.yaml"], "resources:", "# a note\nresources:", 1), []string{"/app/kustomization.yaml"}},
	} {
		if step.file != "" {
			files[step.file] = step.content
		}
		if step.file == "/base/kustomization.yaml" {
			files["/base/new.yaml"] = settings
		}
		if diff := cmp.Diff(step.want, build()); diff != "" {
			t.Errorf("after a change of %q (-want +read):\n%s", step.file, diff)
		}
	}
}

type recording struct {
	digests
	read []string
}

func (r *recording) ReadFile(name string) ([]byte, error) {
	data, err := r.digests.ReadFile(name)
	if err == nil {
		r.read = append(r.read, name)
	}
	return data, err
}

func TestWhatOnlyKustomizeCanJudgeIsADoubt(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"no kustomization file":   {"/app/a.yaml": settings},
		"two kustomization files": {"/app/kustomization.yml": "resources: [a.yaml]\n", "/app/kustomization.yaml": "resources: [a.yaml]\n", "/app/a.yaml": settings},
		"empty":                   {"/app/kustomization.yaml": "{}\n"},
		"unknown field":           {"/app/kustomization.yaml": "resource: [a.yaml]\n", "/app/a.yaml": settings},
		"openapi":                 {"/app/kustomization.yaml": "resources: [a.yaml]\nopenapi: {version: v1.21.2}\n", "/app/a.yaml": settings},
		"vars":                    {"/app/kustomization.yaml": "resources: [a.yaml]\nvars: [{name: A, objref: {apiVersion: v1, kind: ConfigMap, name: settings}}]\n", "/app/a.yaml": settings},
		"configurations":          {"/app/kustomization.yaml": "resources: [a.yaml]\nconfigurations: [c.yaml]\n", "/app/a.yaml": settings, "/app/c.yaml": "images: []\n"},
		"transformers":            {"/app/kustomization.yaml": "resources: [a.yaml]\ntransformers: [t.yaml]\n", "/app/a.yaml": settings},
		"a file that is missing":  {"/app/kustomization.yaml": "resources: [a.yaml]\n"},
		"a file that is no YAML":  {"/app/kustomization.yaml": "resources: [a.yaml]\n", "/app/a.yaml": "a: ["},
		"an address":              {"/app/kustomization.yaml": "resources: ['https://example.com/a.yaml']\n"},
		"a repository":            {"/app/kustomization.yaml": "resources: [github.com/acme/base]\n"},
		"an absolute path":        {"/app/kustomization.yaml": "resources: [/app/a.yaml]\n", "/app/a.yaml": settings},
		"the directory itself":    {"/app/kustomization.yaml": "resources: [a.yaml, .]\n", "/app/a.yaml": settings},
		"a component as resource": {"/app/kustomization.yaml": "resources: [../part]\n", "/part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: p-\n"},
		"a base as component":     {"/app/kustomization.yaml": "components: [../base]\n", "/base/kustomization.yaml": "namePrefix: p-\n"},
		"a name twice":            {"/app/kustomization.yaml": "resources: [a.yaml, b.yaml]\n", "/app/a.yaml": settings, "/app/b.yaml": settings},
		"a name twice in one namespace": {
			"/app/kustomization.yaml": "resources: [a.yaml, b.yaml]\nnamespace: one\n", "/app/a.yaml": settings,
			"/app/b.yaml": strings.Replace(settings, "name: settings", "name: settings, namespace: other", 1),
		},
		"a name twice after a patch": {
			"/app/kustomization.yaml": "resources: [a.yaml, b.yaml]\npatches: [{target: {kind: ConfigMap}, patch: '[{\"op\": \"replace\", \"path\": \"/metadata/name\", \"value\": \"x\"}]'}]\n",
			"/app/a.yaml":             settings, "/app/b.yaml": strings.Replace(settings, "name: settings", "name: other", 1),
		},
		"a patch without object":      {"/app/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: none}}'}]\n", "/app/a.yaml": settings},
		"replicas of nobody":          {"/app/kustomization.yaml": "resources: [a.yaml]\nreplicas: [{name: settings, count: 1}]\n", "/app/a.yaml": settings},
		"a merge with nothing":        {"/app/kustomization.yaml": "configMapGenerator: [{name: settings, behavior: merge, literals: [a=b]}]\n"},
		"a generated name twice":      {"/app/kustomization.yaml": "resources: [a.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n", "/app/a.yaml": settings},
		"a replacement from nowhere":  {"/app/kustomization.yaml": "resources: [a.yaml]\nreplacements: [{source: {kind: Secret}, targets: [{select: {kind: None}}]}]\n", "/app/a.yaml": settings},
		"a replacement without value": {"/app/kustomization.yaml": "resources: [a.yaml]\nreplacements: [{source: {kind: ConfigMap, fieldPath: data.none}, targets: [{select: {kind: None}}]}]\n", "/app/a.yaml": settings},
		"a selector that is none": {
			"/app/kustomization.yaml": "resources: [a.yaml]\nreplacements: [{source: {kind: ConfigMap}, targets: [{select: {kind: None, labelSelector: 'a in ('}, fieldPaths: [data.a]}]}]\n", "/app/a.yaml": settings,
		},
		"odd labels beside a target": {
			"/app/kustomization.yaml": "resources: [a.yaml, b.yaml]\nreplacements: [{sourceValue: x, targets: [{select: {name: settings}, fieldPaths: [data.a]}]}]\n", "/app/a.yaml": settings,
			"/app/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, labels: [a]}\n",
		},
		"a target that is none, and no objects": {"/app/kustomization.yaml": "patches: [{target: {name: '('}, patch: '[{\"op\": \"remove\", \"path\": \"/data\"}]'}]\n"},
		"a subject that is none": {
			"/app/kustomization.yaml": "resources: [a.yaml]\n",
			"/app/a.yaml":             "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: a}\nroleRef: {kind: Role, name: a}\nsubjects: [{kind: ServiceAccount, name: a, namespace: 1}]\n",
		},
		"an odd way to a reference": {
			"/app/kustomization.yaml": "resources: [a.yaml]\n", "/app/a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {volumes: text}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := engine.New(1<<20).Build(t.Context(), fsOf(files), "/app")
			var doubt *engine.Doubt
			if !errors.As(err, &doubt) || doubt.Reason == "" || got != nil {
				t.Errorf("%d objects and error %v, want a doubt", len(got), err)
			}
		})
	}
}

func TestLocalObjectsNeedNotBePrintable(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"/app/kustomization.yaml": "resources: [a.yaml, b.yaml]\nnamePrefix: p-\n", "/app/a.yaml": settings,
		"/app/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, annotations: {config.kubernetes.io/local-config: 'true'}}\ndata: {a: b, a: b}\n",
	}
	want, err := kustomize(fsOf(files), "/app")
	if err != nil || len(want) != 1 {
		t.Fatalf("%d objects, %v", len(want), err)
	}
	got, err := engine.New(1<<20).Build(t.Context(), fsOf(files), "/app")
	if err != nil || join(got) != join(want) {
		t.Errorf("%s\n%v", join(got), err)
	}
}

func TestADoubtQuotesNothingOfTheFiles(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"a generator": {"/app/kustomization.yaml": "secretGenerator: [{name: s, literals: [hunter2]}]\n"},
		"a patch": {
			"/app/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '[{\"op\": \"test\", \"path\": \"/data/a\", \"value\": \"hunter2\"}]', target: {kind: ConfigMap}}]\n", "/app/a.yaml": settings,
		},
		"a file":         {"/app/kustomization.yaml": "resources: [a.yaml]\n", "/app/a.yaml": "kind: Secret\nstringData: {a: hunter2}\n"},
		"a nameless one": {"/app/kustomization.yaml": "resources: [a.yaml]\npatches: [{patch: '[{\"op\": \"remove\", \"path\": \"/metadata/name\"}]', target: {kind: Secret}}]\n", "/app/a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\n"},
	} {
		_, err := engine.New(1<<20).Build(t.Context(), fsOf(files), "/app")
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %s", err, err, err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABuildEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := engine.New(1<<20).Build(ctx, fsOf(benchTree(3, true)), "/app")
	var doubt *engine.Doubt
	if !errors.Is(err, context.Canceled) || errors.As(err, &doubt) {
		t.Errorf("error %v", err)
	}
}

func TestBuildsAtATimeComeToTheSame(t *testing.T) {
	t.Parallel()
	e := engine.New(1 << 20)
	tree := func(kind int) map[string]string {
		files := benchTree(30, true)
		files["/base/o1.yaml"] += fmt.Sprintf("---\napiVersion: example.com/v1\nkind: Widget%d\nmetadata: {name: w}\n", kind)
		return files
	}
	if _, err := e.Build(t.Context(), fsOf(tree(0)), "/app"); err != nil {
		t.Fatal(err)
	}
	var want [4][][]byte
	for i := range want {
		var err error
		if want[i], err = kustomize(fsOf(tree(i)), "/app"); err != nil {
			t.Fatal(err)
		}
	}
	var group sync.WaitGroup
	for i := range want {
		group.Go(func() { // with what the first build left behind, and kinds that are new to it
			got, err := e.Build(t.Context(), fsOf(tree(i)), "/app")
			if err != nil || join(got) != join(want[i]) {
				t.Errorf("%d objects, %v", len(got), err)
			}
		})
	}
	group.Wait()
}

var _ engine.Digester = digests{}
