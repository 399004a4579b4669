package lab

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// smallKube makes a module that stands for test/kube, and builds in no time.
func smallKube(t *testing.T) (source string) {
	t.Helper()
	source = t.TempDir()
	for name, content := range map[string]string{
		"main.go":           "package main\n\nfunc main() { println(\"runs\") }\n",
		"go.mod":            "module example.com/kube\n\ngo 1.26\n\nrequire (\n\tk8s.io/kubernetes v1.2.3\n)\n\nreplace k8s.io/kubernetes => ./kubernetes\n",
		"go.sum":            "",
		"kubernetes/go.mod": "module k8s.io/kubernetes\n\ngo 1.26\n",
	} {
		path := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return source
}

func TestFirstBuildOfTheKubernetesBinaryShowsProgressAndIsCached(t *testing.T) {
	t.Parallel()
	source, cache := smallKube(t), t.TempDir()
	var first, second bytes.Buffer
	path, err := buildKube(t.Context(), source, cache, &first)
	if err != nil {
		t.Fatal(err)
	}
	if said := first.String(); !strings.HasPrefix(said, "building the Kubernetes binary") {
		t.Errorf("the first build says %q", said)
	}
	if output, err := exec.Command(path).CombinedOutput(); err != nil || string(output) != "runs\n" {
		t.Errorf("the binary says %q, %v", output, err)
	}

	again, err := buildKube(t.Context(), source, cache, &second)
	if err != nil || again != path {
		t.Errorf("the second time it is %s, %v; want %s", again, err, path)
	}
	if second.Len() > 0 {
		t.Errorf("the second time it says %q", &second)
	}

	if err := os.WriteFile(filepath.Join(source, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := buildKube(t.Context(), source, cache, nil); err != nil || changed == path {
		t.Errorf("of other source it is %s, %v", changed, err)
	}
}

func TestKubernetesBinaryIsBuiltOnceForAllWhoAskAtOnce(t *testing.T) {
	t.Parallel()
	source, cache := smallKube(t), t.TempDir()
	var files [2]fs.FileInfo
	var calls sync.WaitGroup
	for i := range files {
		calls.Go(func() {
			path, err := buildKube(t.Context(), source, cache, nil)
			if err == nil {
				files[i], err = os.Stat(path) // another build would put another file in its place
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if !t.Failed() && !os.SameFile(files[0], files[1]) {
		t.Error("it was built twice")
	}
}

func TestFailedBuildOfTheKubernetesBinaryIsNotCached(t *testing.T) {
	t.Parallel()
	source, cache := smallKube(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "main.go"), []byte("package main\n\nfunc main() { nonsense() }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if path, err := buildKube(t.Context(), source, cache, nil); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%s, %v", path, err)
		}
	}
}
