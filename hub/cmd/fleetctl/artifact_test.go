package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/artifact/artifacttest"
)

// protected is a registry over TLS that user "flux" with password "hunter2" may use.
func protected(t *testing.T) string {
	t.Helper()
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "flux" || password != "hunter2" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		content.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

// deploy is a directory to push.
func (b *bundle) deploy() string {
	b.t.Helper()
	b.write("deploy/app.yaml", "kind: ConfigMap\n")
	b.write("deploy/sub/deep/b.yaml", "b: 1\n")
	b.write("deploy/photo.jpg", "photo")
	b.write("deploy/.git/config", "[core]")
	b.write("deploy/secret.txt", "not for others")
	run := b.write("deploy/run.sh", "#!/bin/sh\n")
	if err := os.Chmod(run, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for link, target := range map[string]string{"deploy/link.yaml": "app.yaml", "deploy/linked": "sub"} {
		if err := os.Symlink(target, filepath.Join(b.dir, link)); err != nil {
			b.t.Fatal(err)
		}
	}
	return filepath.Join(b.dir, "deploy")
}

// files are the files of a directory with their content; those that can be run are marked.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		info, _ := entry.Info()
		name, _ := filepath.Rel(dir, path)
		if info.Mode()&0o100 != 0 {
			name += "*"
		}
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestArtifactIsPushedListedTaggedComparedAndPulled(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	dir, repository := b.deploy(), "oci://"+protected(t)+"/org/app"
	login := []string{"--creds", "flux:hunter2", "--insecure-registry"}
	run := func(args ...string) result { t.Helper(); return b.ok(append(args, login...)...) }
	push := func(tag, revision string) map[string]any {
		t.Helper()
		return parseJSON(t, run("push", "artifact", repository+":"+tag, "--path", dir, "--source", "https://git.example.com/app", "--revision", revision,
			"--add-ignore-paths", "secret.txt", "-a", "org.example/team=web", "--reproducible", "-o", "json").stdout)
	}
	first := push("1.0.0", "main@sha1:1")
	if first["tag"] != "1.0.0" || "oci://"+first["repository"].(string) != repository || first["url"] != repository+"@"+first["digest"].(string) {
		t.Errorf("-o json gives %v", first)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "app.yaml"), later, later); err != nil {
		t.Fatal(err)
	}
	if again := push("again", "main@sha1:1"); again["digest"] != first["digest"] {
		t.Errorf("the same files have digests %s and %s", first["digest"], again["digest"])
	}
	push("2.0.0", "main@sha1:2")
	timed := parseJSON(t, run("push", "artifact", repository+":timed", "--path", dir, "--source", "https://git.example.com/app", "--revision", "main@sha1:1",
		"--add-ignore-paths", "secret.txt", "-a", "org.example/team=web", "-o", "json").stdout)
	if timed["digest"] == first["digest"] {
		t.Error("it does not say when it was made")
	}
	run("push", "artifact", repository+":dry", "--path", dir, "--source", "x", "--revision", "y", "--dry-run")
	run("tag", "artifact", repository+":1.0.0", "--tag", "dry", "--dry-run")

	run("tag", "artifact", repository+":1.0.0", "--tag", "stable", "--tag", "1.0.0.sig")
	list := run("list", "artifacts", repository).stdout
	wantTexts(t, "list", list, "ARTIFACT", "DIGEST", "SOURCE", "REVISION", repository+":stable", first["digest"].(string), "https://git.example.com/app", "main@sha1:1")
	if strings.Contains(list, ":dry") {
		t.Errorf("a dry run made a tag:\n%s", list)
	}
	if strings.Contains(list, ".sig") {
		t.Errorf("signatures are listed:\n%s", list)
	}
	var listed []listedArtifact
	if err := json.Unmarshal([]byte(run("list", "artifacts", repository, "--filter-semver", ">=2.0.0", "-o", "json").stdout), &listed); err != nil || len(listed) != 1 || listed[0].URL != repository+":2.0.0" {
		t.Errorf("versions from 2.0.0: %v, error %v", listed, err)
	}
	if err := json.Unmarshal([]byte(run("list", "artifacts", repository, "--filter-regex", "^st", "-o", "json").stdout), &listed); err != nil || len(listed) != 1 {
		t.Errorf("tags with st: %v, error %v", listed, err)
	}

	out := filepath.Join(b.dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	r := run("pull", "artifact", repository+":stable", "--output", out)
	wantTexts(t, "stderr", r.stderr, "source https://git.example.com/app", "revision main@sha1:1", "3 files written")
	want := map[string]string{"app.yaml": "kind: ConfigMap\n", "sub/deep/b.yaml": "b: 1\n", "run.sh*": "#!/bin/sh\n"}
	if diff := cmp.Diff(want, files(t, out)); diff != "" {
		t.Errorf("pulled (-want +got):\n%s", diff)
	}

	compare := append([]string{"diff", "artifact", repository + ":stable", "--path", dir, "--add-ignore-paths", "secret.txt"}, login...)
	wantTexts(t, "stderr", b.ok(compare...).stderr, "no changes detected")
	b.write("deploy/app.yaml", "kind: Secret\n")
	b.write("deploy/new.yaml", "")
	if err := os.Remove(filepath.Join(dir, "run.sh")); err != nil {
		t.Fatal(err)
	}
	if r := b.fails(exitDifferent, nil, compare...); trimLines(r.stdout) != "± app.yaml\n+ new.yaml\n- run.sh" {
		t.Errorf("differences:\n%s", r.stdout)
	}
}

func TestRegistryThatRefusesIsToldWithoutThePassword(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	address := "oci://" + protected(t) + "/app:v1"
	args := []string{"push", "artifact", address, "--path", b.write("a.yaml", "a: 1"), "--source", "x", "--revision", "y", "--insecure-registry"}
	for _, creds := range []string{"flux:hunter3", "hunter3"} {
		r := b.fails(exitDenied, []string{"docker login", "--creds"}, append(args, "--creds", creds)...)
		if strings.Contains(r.stderr, "hunter3") {
			t.Errorf("the password is told:\n%s", r.stderr)
		}
	}
	b.fails(exitNotFound, []string{"list artifacts"}, "pull", "artifact", address, "--output", b.dir, "--insecure-registry", "--creds", "flux:hunter2")
	b.fails(exitUnreachable, []string{"cannot reach", "--insecure-registry"}, "list", "artifacts", "oci://127.0.0.1:1/app") // where nobody listens
	b.fails(exitUsage, []string{"docker login"}, "list", "artifacts", address, "--provider", "aws")
	b.fails(exitUsage, []string{"is not oci://"}, "list", "artifacts", "https://example.com/app")
}

func TestCredentialsOfDockerAreUsed(t *testing.T) {
	b := newBareBundle(t) // not parallel: it sets the process's environment
	host := protected(t)
	auth := "Zmx1eDpodW50ZXIy" // flux:hunter2
	config := b.write("docker/config.json", `{"auths":{"`+host+`":{"auth":"`+auth+`"}}}`)
	t.Setenv("DOCKER_CONFIG", filepath.Dir(config))
	b.ok("push", "artifact", "oci://"+host+"/app:v1", "--path", b.write("a.yaml", "a: 1"), "--source", "x", "--revision", "y", "--insecure-registry")
}

func TestHostileArtifactsWriteNothingOutside(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	outside := b.write("victim", "as it was")
	for _, hostile := range artifacttest.HostileArchives() {
		if !hostile.Limit { // whoever pulls may have larger ones
			data := hostile.Data()
			image, err := mutate.AppendLayers(empty.Image, static.NewLayer(data, "application/vnd.cncf.flux.content.v1.tar+gzip"))
			if err != nil {
				t.Fatal(err)
			}
			tag, err := name.NewTag(host+"/app:v1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(tag, image); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(b.dir, "out")
			_ = os.RemoveAll(out) // of the one before
			if err := os.MkdirAll(out, 0o755); err != nil {
				t.Fatal(err)
			}
			r := b.run("pull", "artifact", "oci://"+host+"/app:v1", "--output", out)
			if r.code == 0 {
				t.Errorf("%s: it was taken", hostile.Name)
			}
			if strings.ContainsAny(r.stderr, "\x00\x1b") {
				t.Errorf("%s: stderr has control characters", hostile.Name)
			}
		}
	}
	if data, err := os.ReadFile(outside); err != nil || string(data) != "as it was" {
		t.Errorf("outside: %q, error %v", data, err)
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("beside the output are %v, error %v", entries, err)
	}
}

func TestPullDoesNotFollowLinksThatAreThere(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	address := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/app:v1"
	b.write("src/dir/a.yaml", "a: 1")
	b.ok("push", "artifact", address, "--path", filepath.Join(b.dir, "src"), "--source", "x", "--revision", "y")
	outside, out := filepath.Join(b.dir, "outside"), filepath.Join(b.dir, "out")
	for _, dir := range []string{outside, out} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(out, "dir")); err != nil {
		t.Fatal(err)
	}
	b.fails(exitUsage, []string{"dir"}, "pull", "artifact", address, "--output", out)
	if err := os.Remove(filepath.Join(out, "dir")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(out, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "new"), filepath.Join(out, "dir", "a.yaml")); err != nil {
		t.Fatal(err)
	}
	b.fails(exitUsage, []string{"dir/a.yaml"}, "pull", "artifact", address, "--output", out)
	if found := files(t, outside); len(found) != 0 {
		t.Errorf("outside there are %v", found)
	}
}

func TestSymbolicLinksAreLeftOutOrResolved(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	dir := b.deploy()
	archive := filepath.Join(b.dir, "app.tgz")
	r := b.ok("build", "artifact", "--path", dir, "--output", archive)
	wantTexts(t, "stderr", r.stderr, "link.yaml is left out", "linked is left out")
	first, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	b.ok("build", "artifact", "--path", dir, "--output", archive)
	if again, err := os.ReadFile(archive); err != nil || !bytes.Equal(first, again) {
		t.Errorf("built again, it has other bytes; error %v", err)
	}
	names := func(args ...string) []string {
		t.Helper()
		b.ok(append([]string{"build", "artifact", "--path", dir, "--output", archive}, args...)...)
		data, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := treeOf(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name := range tree {
			names = append(names, name)
		}
		return names
	}
	sorted := cmp.Transformer("sort", func(in []string) map[string]bool {
		out := map[string]bool{}
		for _, s := range in {
			out[s] = true
		}
		return out
	})
	if diff := cmp.Diff([]string{"app.yaml", "secret.txt", "run.sh", "sub/deep/b.yaml", "link.yaml", "linked/deep/b.yaml"}, names("--resolve-symlinks"), sorted); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"app.yaml", "photo.jpg", "run.sh"}, names("--ignore-paths", "secret.txt,sub/"), sorted); diff != "" {
		t.Errorf("with patterns of one's own (-want +got):\n%s", diff)
	}
	ignore := b.write("deploy/.sourceignore", "*.yaml\n") // the hub heeds it when it fetches the artifact
	if diff := cmp.Diff([]string{"app.yaml", "secret.txt", "run.sh", "sub/deep/b.yaml", ".sourceignore"}, names(), sorted); diff != "" {
		t.Errorf("with an ignore file (-want +got):\n%s", diff)
	}
	if err := os.Remove(ignore); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", filepath.Join(dir, "sub", "up")); err != nil {
		t.Fatal(err)
	}
	b.fails(exitUsage, []string{"in a circle"}, "build", "artifact", "--path", dir, "--output", archive, "--resolve-symlinks")
	if err := os.Remove(filepath.Join(dir, "sub", "up")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	b.fails(exitUsage, []string{"dangling", "points to nothing"}, "build", "artifact", "--path", dir, "--output", archive, "--resolve-symlinks")
}

func TestPushToTheHubHeedsTheDirectorysIgnoreFiles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	dir := b.deploy()
	b.write("deploy/sub/.sourceignore", "*.yaml\n")
	r := b.ok("push", "artifact", "ea/app", "--path", dir, "--source", "https://git.example.com/app", "--revision", "main@sha1:696f056dffff", "-a", "team=web")
	wantTexts(t, "stderr", r.stderr, "►", "pushing", "is at revision main@sha1:696f056d")
	want(t, "stdout", r.stdout, "externalartifact.source.toolkit.fluxcd.io/app created")
	push := b.hub.pushes[0]
	var names []string
	for _, file := range push.tree.Files {
		names = append(names, file.Path)
	}
	if diff := cmp.Diff([]string{"app.yaml", "run.sh", "secret.txt", "sub/.sourceignore"}, names); diff != "" {
		t.Errorf("pushed (-want +got):\n%s", diff)
	}
	h := push.header
	if h.GetNamespace() != "apps" || h.GetName() != "app" || h.GetKind() != "ExternalArtifact" || h.GetSource() != "https://git.example.com/app" || h.GetAnnotations()["team"] != "web" || !h.GetCreated().AsTime().Equal(now) {
		t.Errorf("header %v", h)
	}
	document := parseJSON(t, b.ok("push", "artifact", "ea/app", "--path", dir, "--revision", "x", "-o", "json").stdout)
	if document["files"] != 4.0 || document["digest"] != push.tree.Digest().String() || document["change"] != "created" {
		t.Errorf("-o json gives %v", document)
	}
	b.stdin = "a: 1\n"
	b.ok("push", "artifact", "ea/app", "--path", "-", "--revision", "x")
	if file := b.hub.pushes[2].tree.Files[0]; file.Path != "manifest.yaml" || file.Size != 5 {
		t.Errorf("from stdin: %+v", file)
	}
}

func TestPushRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	dir := b.deploy()
	for _, test := range []struct{ args, text string }{
		{"gitrepo/app --path DIR --revision x", "only an ExternalArtifact takes what is pushed"},
		{"ea/app --revision x", "--path is required"},
		{"ea/app --path DIR", "--revision is required"},
		{"ea/app --path DIR --revision x --creds a:b", "are for registries"},
		{"ea/app --path NOWHERE --revision x", "no such file"},
		{"ea/app --path DIR --revision x -a team", "is not KEY=VALUE"},
		{"ea/app --path DIR --revision x --ignore-paths *", "all are left out"},
		{"oci://example.com/app:v1 --path DIR --revision x", "--source is required"},
		{"oci://example.com/app@sha256:" + strings.Repeat("a", 64) + " --path DIR --revision x --source y", "is pushed to a tag"},
		{"oci://example.com/app:v1 --path DIR --revision x --source y -a org.opencontainers.image.created=soon", "is not a time"},
	} {
		b.fails(exitUsage, []string{test.text}, append([]string{"push", "artifact"}, strings.Fields(strings.ReplaceAll(test.args, "DIR", dir))...)...)
	}
	b.fails(exitUsage, []string{"this revision is refused"}, "push", "artifact", "ea/app", "--path", dir, "--revision", "refused")
}

func TestArtifactsOfPushArePrintedAsYAMLToo(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	out := b.ok("push", "artifact", "oci://"+strings.TrimPrefix(server.URL, "http://")+"/app:v1", "--path", b.write("a.yaml", "a: 1"), "--source", "x", "--revision", "y", "-o", "yaml").stdout
	var document map[string]string
	if err := yaml.UnmarshalStrict([]byte(out), &document); err != nil || len(document) != 4 || document["tag"] != "v1" {
		t.Errorf("-o yaml gives %v, error %v", document, err)
	}
}
