package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// TestNoValueOfASecretIsShownOrKept has all go wrong that can with objects that have such a value, and reads all that
// is said of it: errors, status, events, log, inventory and the engine's files.
func TestNoValueOfASecretIsShownOrKept(t *testing.T) {
	const canary = "c4n4ry-value"
	b := newBundle(t)
	var log lockedBuffer
	b.logged = &log
	refusing := b.refusesInWords("/configmaps/it", "Invalid value: "+canary)
	b.start()
	b.putSecret("vars", map[string]string{"CANARY": canary, "ALIAS": "*" + canary, "OPEN": "{" + canary})
	b.substituting(map[string]string{"PLAIN": "1"}, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	deployed := b.deploy(b.text("it", "a: ${CANARY}"))
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.value(configMaps, "it", canary, "data", "a")

	var said strings.Builder
	for name, document := range b.spoiltByTheirValues() {
		err := b.try(b.target(document))
		if err == nil {
			t.Errorf("%s: it was taken", name)
			continue
		}
		said.WriteString(err.Error() + "\n")
	}
	b.start().load(deployed)
	refusing.Store(true)
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"a":"y"}}`)
	b.eventually("the correction that is refused", func() error {
		if conflicts := b.status().Conflicts; len(conflicts) == 0 {
			return errors.New("it is not told of")
		}
		return nil
	})
	fmt.Fprintf(&said, "%+v\n%s\n%s\n", b.status(), b.entries(), log.String())
	b.mu.Lock()
	fmt.Fprintf(&said, "%+v\n", b.events)
	b.mu.Unlock()
	said.WriteString(filesUnder(t, b.dir))
	if before, after, found := strings.Cut(said.String(), canary); found {
		t.Errorf("a value of a Secret is shown: %s%s%s", before[max(0, len(before)-200):], canary, after[:min(len(after), 100)])
	}
	// Nor can it be tried out: the inventory does not have the digest of the content.
	content := fmt.Sprintf(`{"apiVersion":"v1","data":{"a":%q},"kind":"ConfigMap","metadata":{"name":"it","namespace":%q}}`, canary, b.namespace)
	if strings.Contains(said.String(), fleet.DigestOf([]byte(content)).String()) {
		t.Error("the inventory has the digest of content with a value of a Secret")
	}
}

// spoiltByTheirValues are documents that cannot be applied once the variables are put in, by what is wrong then.
func (b *bundle) spoiltByTheirValues() map[string]string {
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: " + b.namespace + "}\nspec: "
	return map[string]string{
		"refused by the API server": service + "{ports: [{port: 1, name: \"${CANARY}___\"}]}\n",
		"does not fit the schema":   service + "{ports: \"${CANARY}\"}\n",
		"no YAML any more":          b.text("it", "a: ${ALIAS}"),
		"nor is this":               b.text("it", "a: ${OPEN}"),
		"no name":                   fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"${CANARY}/\", namespace: %s}\n", b.namespace),
		"undefined":                 b.text("it", "a: ${CANARY} ${UNDEFINED}"),
		"no key of data":            b.text("it", "\"${CANARY}/\": x"),
		"no kind":                   fmt.Sprintf("apiVersion: v1\nkind: \"${CANARY}\"\nmetadata: {name: s, namespace: %s}\n", b.namespace),
	}
}

// refusesInWords has an engine that is started next told by the API server, while that is on, that what it applies to a
// path is invalid, in words that repeat a value.
func (b *bundle) refusesInWords(path, message string) (on *atomic.Bool) {
	on = new(atomic.Bool)
	answer := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":%q}`, message)
	b.wrap = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !on.Load() || r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, path) {
				return next.RoundTrip(r)
			}
			return &http.Response{
				StatusCode: http.StatusUnprocessableEntity, Header: http.Header{"Content-Type": {"application/json"}},
				Body: io.NopCloser(strings.NewReader(answer)), Request: r,
			}, nil
		})
	}
	return on
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// filesUnder is the content of all files of a directory.
func filesUnder(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
