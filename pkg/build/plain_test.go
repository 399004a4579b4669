package build_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Trees without anything but resources, in files as people write them and as nobody should. What a Builder makes of
// them is what kustomize does, at first, again, and with another content of one file.
func TestBuilderMakesOfAnyPlainTreeWhatKustomizeMakes(t *testing.T) {
	muteKustomize(t)
	builder := build.NewBuilder(build.Options{})
	ordinary, odd := map[build.Class]int{}, map[build.Class]int{} // what is built, by the way it went
	rapid.Check(t, func(rt *rapid.T) {
		d := &plainDrawer{T: rt, files: map[string]string{}, oddities: rapid.SampledFrom([]int{0, 0, 30, 8}).Draw(rt, "oddities")}
		d.directory("app", 0)
		for range 2 {
			want, wanted := build.Build(rt.Context(), d.fs(), "app", fleet.BuildSpec{})
			for range 2 {
				got, err := builder.Build(rt.Context(), d.fs(), "app", fleet.BuildSpec{})
				switch {
				case wanted != nil && err == nil:
					rt.Fatalf("built by %s: what kustomize refuses: %v\n%s", got.Way, wanted, d)
				case (wanted == nil) != (err == nil), errors.Is(wanted, fleet.ErrInvalid) != errors.Is(err, fleet.ErrInvalid), ofScan(wanted) != ofScan(err):
					rt.Fatalf("error by %s: %v; kustomize's: %v\n%s", got.Way, err, wanted, d)
				case !slices.EqualFunc(want, got.Objects, bytes.Equal):
					rt.Fatalf("objects by %s (-kustomize +here):\n%s\n%s", got.Way, cmp.Diff(join(want), join(got.Objects)), d)
				case err == nil && d.oddities == 0:
					ordinary[got.Way]++
				case err == nil:
					odd[got.Way]++
				}
			}
			name := rapid.SampledFrom(slices.Sorted(maps.Keys(d.files))).Draw(rt, "changed")
			if path.Ext(name) == ".yaml" && !strings.HasSuffix(name, "kustomization.yaml") {
				d.files[name] = d.file()
			}
		}
	})
	t.Logf("built of ordinary trees: %v, of odd ones: %v", ordinary, odd)
	if quick := ordinary[build.ClassPlain] + ordinary[build.ClassEngine]; quick < 9*ordinary[build.ClassKustomize] {
		t.Errorf("%d ordinary trees were built without kustomize, and %d by it", quick, ordinary[build.ClassKustomize])
	}
}

// ofScan is the error of a scan. Of several others kustomize has one or the other.
func ofScan(err error) string {
	if text := fmt.Sprint(err); strings.Contains(text, "not Kubernetes YAML") {
		return text
	}
	return ""
}

type plainDrawer struct {
	*rapid.T
	files map[string]string
	// oddities: one in so many is there, none if zero.
	oddities int
	objects  int
}

func (d *plainDrawer) one(label string, of int) int { return rapid.IntRange(0, of-1).Draw(d.T, label) }

func (d *plainDrawer) odd() bool { return d.oddities > 0 && d.one("odd", d.oddities) == 0 }

func (d *plainDrawer) pick(values ...string) string {
	return rapid.SampledFrom(values).Draw(d.T, "pick")
}

func (d *plainDrawer) fs() *artifact.FS { return newSource(d.files).fs() }

func (d *plainDrawer) String() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		fmt.Fprintf(&text, "=== %s\n%q\n", name, d.files[name])
	}
	return text.String()
}

// directory has files and directories, all in a list or found by a scan.
func (d *plainDrawer) directory(dir string, depth int) {
	var list []string
	for i := range d.one("files", 4) {
		name := fmt.Sprintf("f%d.yaml", i)
		d.files[dir+"/"+name], list = d.file(), append(list, name)
	}
	for i := range d.one("directories", 3) {
		if name := fmt.Sprintf("d%d", i); depth < 2 {
			d.directory(dir+"/"+name, depth+1)
			list = append(list, name)
		}
	}
	if d.odd() {
		name := d.pick("notes.txt", "x.json", ".hidden.yaml", "list.yml", "kustomization.yml")
		d.files[dir+"/"+name] = d.pick("", "hello", "# nothing\n", "a: [", configMap("odd"), "resources: []\n")
	}
	if depth > 0 || d.one("listed", 2) == 0 {
		if d.odd() {
			list = append(list, d.pick("f0.yaml", "./f0.yaml", "none.yaml", "d0/", "../app", ".", "d0/f0.yaml", "notes.txt"))
		}
		rest := d.pick("", "", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n", "metadata: {name: x}\n")
		if d.odd() {
			rest += d.pick("kind: Component\n", "apiVersion: x/v1\n", "resource: []\n", "sortOptions: {order: legacy}\n", "bases: []\n")
		}
		d.files[dir+"/kustomization.yaml"] = fmt.Sprintf("%sresources: [%s]\n", rest, strings.Join(list, ", "))
	}
	d.files[dir+"/README.md"] = ""
}

func (d *plainDrawer) file() string {
	var text strings.Builder
	for i := range 1 + d.one("documents", 3) {
		if i > 0 || d.one("mark", 4) == 0 {
			text.WriteString(d.pick("---\n", "---\n", "--- # next\n", "---\n# comment\n"))
		}
		text.WriteString(d.document())
	}
	content := text.String()
	if d.odd() {
		switch d.pick("bom", "crlf", "end", "tab", "again", "nul") {
		case "bom":
			content = "\ufeff" + content
		case "crlf":
			content = strings.ReplaceAll(content, "\n", "\r\n")
		case "end":
			content += d.pick("...\n", "---\n", "---\n---\n", "--- {}\n", "--- null\n", "# end", "\n\n\n", "- x\n", "x: [\n", "%YAML 1.2\n---\n")
		case "tab":
			content = strings.Replace(content, "  ", "\t", 1)
		case "again":
			content += "---\n" + content
		case "nul":
			content = strings.Replace(content, "a", "\x00", 1)
		}
	}
	return content
}

// document is an object, or the list of some.
func (d *plainDrawer) document() string {
	d.objects++
	name := fmt.Sprint("n", d.objects)
	if d.odd() {
		name = d.pick("n1", "n2", "'1'", "1", "true", "\"\"", "null", "~", "[x]", "a/b", "\"x\\ty\"", "a_b|c", "x: y")
	}
	meta := "name: " + name
	if d.one("namespaced", 3) == 0 {
		meta += "\n  namespace: " + d.pick("default", "team", "other")
	}
	if d.one("labelled", 3) == 0 {
		meta += "\n  labels: {app: web, n: \"1\"}\n  annotations:\n    note: |\n      some\n      lines # here\n    z: y"
	}
	if d.odd() {
		meta += "\n  " + d.pick(
			"annotations: {config.kubernetes.io/local-config: \"true\"}", "annotations: {config.kubernetes.io/local-config: \"false\"}", "annotations: {config.kubernetes.io/local-config: true}",
			"annotations: {config.kubernetes.io/index: '1', internal.config.kubernetes.io/path: x}", "annotations: {config.kubernetes.io/origin: 'path: x'}", "annotations: {internal.config.kubernetes.io/previousNames: a, internal.config.kubernetes.io/previousNamespaces: b, internal.config.kubernetes.io/previousKinds: c}",
			"annotations: {internal.config.kubernetes.io/previousNames: a}", "annotations: {alpha.config.kubernetes.io/transformations: x}", "annotations: {internal.config.kubernetes.io/needsHashSuffix: enabled}",
			"annotations: {a: 1}", "annotations: [a]", "annotations: null", "annotations: {}", "labels: {a: 1}", "labels: [x]", "labels: x", "labels: null", "namespace: 5", "namespace: \"\"", "namespace: null", "namespace: [a]", "generateName: g-", "name: twice",
			"annotations: {config.kubernetes.io/function: 'container: {image: x}'}", "annotations: {internal.config.kubernetes.io/prefixes: p}", "annotations: {internal.config.kubernetes.io/refBy: x}", "creationTimestamp: 2001-01-01", "annotations: &a {b: c}\n  labels: *a",
		)
	}
	head, body := d.content()
	text := head + "metadata:\n  " + meta + "\n" + body
	switch {
	case d.odd():
		return d.pick("{}\n", "null\n", "a\n", "- a\n", "# only a comment\n", "kind: X\n", "apiVersion: v1\n", "apiVersion: v1\nkind: X\n", "apiVersion: v1\nkind: X\nmetadata: {}\n", "apiVersion: v1\nkind: X\nmetadata: {generateName: x-}\n", "apiVersion: v1\nkind: X\nmetadata: x\n",
			"kind: Kustomization\napiVersion: kustomize.config.k8s.io/v1beta1\nresources: []\n", "apiVersion: [v1]\nkind: {x: y}\nmetadata: {name: x}\n", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"j\"}}\n", "apiVersion: v1\nkind: List\nitems: []\n", "apiVersion: v1\nkind: List\n", "apiVersion: v1\nkind: List\nitems: x\n", "apiVersion: v1\nkind: ListOf\nmetadata: {name: l}\nitems: []\n")
	case d.one("list", 12) == 0:
		kind := "List"
		if d.odd() {
			kind = d.pick("ConfigMapList", "RoleList", "XList")
		}
		return "apiVersion: v1\nkind: " + kind + "\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	return text
}

// content is what stands before and after an object's metadata. Most of it refers to other objects.
func (d *plainDrawer) content() (head, body string) {
	kind := func(apiVersion, kind string) string { return "apiVersion: " + apiVersion + "\nkind: " + kind + "\n" }
	other := fmt.Sprint("n", 1+d.one("other", 6))
	if d.odd() {
		other = d.pick("null", "[n1]", "{x: y}", "1", "\"\"", "&x n1")
	}
	switch d.one("kind", 10) {
	case 0:
		return kind("v1", "ConfigMap"), "data:\n  PORT: \"8080\"\n  app.conf: |\n    # a file\n    x = 1\n"
	case 1:
		return kind("v1", "Secret"), "type: Opaque\ndata: {p: cGFzcw==}\nstringData: {q: yes}\n"
	case 2:
		return kind("v1", "Service"), "spec:\n  selector: {app: web}\n  ports: [{port: 80, targetPort: http}]\n"
	case 3:
		return kind("rbac.authorization.k8s.io/v1", d.pick("RoleBinding", "ClusterRoleBinding")), "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: " + other + "}\nsubjects:\n- {kind: ServiceAccount, name: " + other + d.pick("", ", namespace: team", ", namespace: default") + "}\n"
	case 4:
		return kind("networking.k8s.io/v1", "Ingress"), "spec:\n  rules:\n  - http:\n      paths:\n      - {path: /, backend: {service: {name: " + other + ", port: {number: 80}}}}\n"
	case 5:
		return kind("autoscaling/v2", "HorizontalPodAutoscaler"), "spec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: " + other + "}\n  maxReplicas: 3\n"
	case 6:
		return kind("acme.io/v1", d.pick("Widget", "Role", "Deployment", "Namespace")), "spec: {size: 3, float: 0.5, big: 12345678901234567890, when: 2001-01-01, on: yes, none: }\n"
	case 7:
		return kind("v1", d.pick("Namespace", "PersistentVolumeClaim", "ServiceAccount")), "spec: {volumeName: " + other + "}\nsecrets: [{name: " + other + "}]\n"
	default:
		return kind("apps/v1", d.pick("Deployment", "StatefulSet", "DaemonSet")), fmt.Sprintf(`spec:
  serviceName: %[1]s
  template:
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: web
        image: web:v1 # the first
        envFrom: [{configMapRef: {name: %[1]s}}, {secretRef: {name: %[1]s, optional: true}}]
      volumes:
      - {name: v, configMap: {name: %[1]s}}
      - {name: w, projected: {sources: [{secret: {name: %[1]s}}]}}
`, other)
	}
}

// What a scan finds is read once for all, and a plan of a Builder is as one without.
func TestAScanReadsAFileOnce(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/a.yaml": configMap("a"), "app/sub/b.yml": configMap("b") + "---\n" + configMap("c"), "app/readme": "x"}
	counted := &countingFS{FS: newSource(files).fs(), reads: map[string]int{}}
	builder := build.NewBuilder(build.Options{})
	for range 2 {
		plan, err := builder.Plan(t.Context(), counted, "app", fleet.BuildSpec{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := build.NewPlan(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Inputs, plan.Inputs); diff != "" || plan.Key != want.Key || plan.Class != want.Class {
			t.Errorf("class %s, want %s; inputs (-want +got):\n%s", plan.Class, want.Class, diff)
		}
		out, err := builder.Run(t.Context(), plan)
		if err != nil || len(out.Objects) != 3 || out.Way != build.ClassPlain {
			t.Fatalf("%d objects, %v, by %s", len(out.Objects), err, out.Way)
		}
		if diff := cmp.Diff(map[string]int{"app/a.yaml": 1, "app/sub/b.yml": 1}, counted.reads); diff != "" {
			t.Errorf("reads (-want +got):\n%s", diff)
		}
		counted.FS, counted.reads = newSource(files).fs(), map[string]int{"app/a.yaml": 1, "app/sub/b.yml": 1}
	}
	files["app/sub/b.yml"] = configMap("d")
	counted.FS, counted.reads = newSource(files).fs(), map[string]int{}
	plans := builder.Repeated()
	if out, err := builder.Build(t.Context(), counted, "app", fleet.BuildSpec{}); err != nil || len(out.Objects) != 2 || counted.reads["app/a.yaml"] > 0 || counted.reads["app/sub/b.yml"] != 1 {
		t.Errorf("%d objects, %v, after reading %v", len(out.Objects), err, counted.reads)
	}
	if builder.Repeated() != plans+1 {
		t.Error("another content of a file that a scan finds made another plan")
	}
	files["app/sub/b.yml"] = "replicas: 3\n"
	_, want := build.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{})
	if _, err := builder.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{}); err == nil || err.Error() != want.Error() {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestAScanReadsNothingOfWhatABuildHasRead(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/a.yaml": configMap("a"), "other/b.yaml": configMap("a")}
	builder := build.NewBuilder(build.Options{})
	counted := &countingFS{FS: newSource(files).fs(), reads: map[string]int{}}
	for _, dir := range []string{"app", "other"} {
		if out, err := builder.Build(t.Context(), counted, dir, fleet.BuildSpec{}); err != nil || len(out.Objects) != 1 || counted.reads["other/b.yaml"] > 0 {
			t.Fatalf("%s: %d objects, %v, after reading %v", dir, len(out.Objects), err, counted.reads)
		}
	}
	files["other/b.yaml"] = "replicas: 3\n" // which the plan depends on nevertheless
	_, want := build.Build(t.Context(), newSource(files).fs(), "other", fleet.BuildSpec{})
	if _, err := builder.Build(t.Context(), newSource(files).fs(), "other", fleet.BuildSpec{}); err == nil || err.Error() != want.Error() {
		t.Errorf("error %v, want %v", err, want)
	}
}

// The objects that a scan reads are changed by one build and have to be as they were in the next.
func TestBuildsOfAScannedDirectoryDoNotChangeEachOther(t *testing.T) {
	t.Parallel()
	files := map[string]string{"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b")}
	builder := build.NewBuilder(build.Options{})
	for _, prefix := range []string{"p-", "q-", "", "r-"} {
		spec := fleet.BuildSpec{NamePrefix: prefix}
		want, err := build.Build(t.Context(), newSource(files).fs(), "app", spec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := builder.Build(t.Context(), newSource(files).fs(), "app", spec); err != nil || got.Way == build.ClassKustomize || !slices.EqualFunc(want, got.Objects, bytes.Equal) {
			t.Errorf("%q: %q, %v, by %s (%s); want %q", prefix, got.Objects, err, got.Way, got.Reason, want)
		}
	}
}

// What a scan finds may be read for something else, too: a patch has to be in plain text.
func TestAScannedFileThatIsAPatchIsLookedInto(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"app/a.yaml": configMap("a"), "app/b.yaml": configMap("b"), "app/sub/x.yaml": configMap("x"),
		"app/sub/kustomization.yaml": "resources: [x.yaml]\npatches: [{path: ../a.yaml, target: {kind: ConfigMap}}]\n",
	}
	builder := build.NewBuilder(build.Options{})
	for i, content := range []string{configMap("a"), configMap("a") + "data: {b: c}\n", configMap("a") + sopsYAML} {
		files["app/a.yaml"] = content
		want, wanted := build.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{})
		got, err := builder.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{})
		if fmt.Sprint(err) != fmt.Sprint(wanted) || !slices.EqualFunc(want, got.Objects, bytes.Equal) {
			t.Errorf("%d: %q, %v; want %q, %v", i, got.Objects, err, want, wanted)
		}
		if encrypted := (*build.EncryptedError)(nil); errors.As(err, &encrypted) != (i == 2) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A file that cannot be had ends the build with that, and not with what is said of files that are no objects.
func TestAScanPassesOnTheErrorOfTheFileSystem(t *testing.T) {
	t.Parallel()
	gone := errors.New("the blob is gone")
	s := newSource(map[string]string{"app/a.yaml": configMap("a")})
	fsys := artifact.NewFS(artifactTree(t, s.files), func(fleet.Digest) ([]byte, error) { return nil, gone })
	if _, err := build.NewBuilder(build.Options{}).Build(t.Context(), fsys, "app", fleet.BuildSpec{}); !errors.Is(err, gone) {
		t.Errorf("error %v", err)
	}
}

func TestWhatAScanFindsCountsAsInput(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 3 {
		files[fmt.Sprintf("app/%d.yaml", i)] = configMap(fmt.Sprint("c", i)) + "data: {a: " + strings.Repeat("x", build.MaxInput/2) + "}\n"
	}
	builder := build.NewBuilder(build.Options{CacheBytes: 1 << 30})
	for range 2 {
		if _, err := builder.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "reads more than") {
			t.Errorf("error %v", err)
		}
	}
}

func TestTheTopFileCountsAsInputOfAPlanThatHeld(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"app/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: p-\n" + "# " + strings.Repeat("x", build.MaxInput/2) + "\n",
		"app/a.yaml":             configMap("a"),
	}
	builder := build.NewBuilder(build.Options{CacheBytes: 1 << 30})
	if _, err := builder.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{}); err != nil {
		t.Fatal(err)
	}
	files["app/a.yaml"] += "data: {a: " + strings.Repeat("x", build.MaxInput/2) + "}\n"
	if _, err := builder.Build(t.Context(), newSource(files).fs(), "app", fleet.BuildSpec{}); !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "reads more than") {
		t.Errorf("error %v", err)
	}
	if builder.Repeated() != 1 {
		t.Errorf("%d plans held", builder.Repeated())
	}
}

type countingFS struct {
	*artifact.FS
	mu    sync.Mutex
	reads map[string]int
}

func (c *countingFS) ReadFile(name string) ([]byte, error) {
	data, err := c.FS.ReadFile(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(err, fs.ErrNotExist) {
		c.reads[name]++
	}
	return data, err
}

func newSource(files map[string]string) *plainSource {
	s := &plainSource{map[string]string{}, map[fleet.Digest][]byte{}}
	for name, content := range files {
		s.set(name, content)
	}
	return s
}

// plainSource is a source whose files have digests.
type plainSource struct {
	files map[string]string
	blobs map[fleet.Digest][]byte
}

func (s *plainSource) set(name, content string) {
	s.files[name] = content
	s.blobs[fleet.DigestOf([]byte(content))] = []byte(content)
}

func (s *plainSource) fs() *artifact.FS {
	var files []artifact.File
	for name, content := range s.files {
		files = append(files, artifact.File{Path: name, Digest: fleet.DigestOf([]byte(content)), Size: int64(len(content))})
	}
	tree, err := artifact.NewTree(files)
	if err != nil {
		panic(err)
	}
	return artifact.NewFS(tree, func(d fleet.Digest) ([]byte, error) { return s.blobs[d], nil })
}
