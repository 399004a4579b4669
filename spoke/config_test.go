package spoke

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

func TestEveryClusterHasADataDirectoryOfItsOwn(t *testing.T) {
	t.Parallel()
	home := func(name string) string { return map[string]string{"HOME": "/home/me"}[name] }
	state := func(name string) string {
		return map[string]string{"HOME": "/home/me", "XDG_STATE_HOME": "/state"}[name]
	}
	nothing := func(string) string { return "" }
	for _, c := range []struct {
		server string
		env    func(string) string
		want   string
	}{
		{"", nothing, "/var/lib/flotilla-spoke"},
		{"https://127.0.0.1:6443", home, "/home/me/.local/state/flotilla-spoke/127.0.0.1_6443"},
		{"https://127.0.0.1:6444", home, "/home/me/.local/state/flotilla-spoke/127.0.0.1_6444"},
		{"https://rancher.example.com/k8s/clusters/c-1/", state, "/state/flotilla-spoke/rancher.example.com_k8s_clusters_c-1"},
		{"https://[::1]:6443", state, "/state/flotilla-spoke/___1__6443"},
		{"10.0.0.1", state, "/state/flotilla-spoke/10.0.0.1"},
		{"https://..", state, "/state/flotilla-spoke/_.."},
	} {
		if got, err := defaultDataDir(c.server, c.env); err != nil || got != c.want {
			t.Errorf("for %q: %s, %v; want %s", c.server, got, err, c.want)
		}
	}
	if _, err := defaultDataDir("https://127.0.0.1:6443", nothing); err == nil {
		t.Error("without a home there is a directory")
	}
}

func TestDefaultDataDirectoryMustBeWritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := Config{REST: &rest.Config{Host: "https://127.0.0.1:6443"}}
	_, err := config.withDataDir(func(string) string { return file })
	if err == nil || !strings.Contains(err.Error(), "--data-dir") || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}

	made, err := config.withDataDir(func(string) string { return dir })
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(made.DataDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s is %v, %v", made.DataDir, info, err)
	}
	if left, err := os.ReadDir(made.DataDir); err != nil || len(left) > 0 {
		t.Errorf("left there: %v, %v", left, err)
	}
	config.DataDir = file
	if kept, err := config.withDataDir(nil); err != nil || kept.DataDir != file {
		t.Errorf("a given directory became %s, %v", kept.DataDir, err)
	}
}
