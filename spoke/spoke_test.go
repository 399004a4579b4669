package spoke_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
	"flotilla.dev/flotilla/spoke"
	"flotilla.dev/flotilla/spoke/helm/sdk"
	"flotilla.dev/flotilla/test/lab"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) {
	render.Main() // does not return in a build's process
	sdk.Main()    // nor in one of Helm's
	lab.Main(m)
}

// bench is a hub, and a cluster with a namespace for an App and one, not made yet, for the spoke.
type bench struct {
	*testing.T
	hub       *hub
	cluster   *lab.Cluster
	client    kubernetes.Interface
	namespace string
	system    string
	dir       string
	app       fleet.Key
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	namespace := lab.TestNamespace(t, cluster)
	return &bench{
		T: t, hub: newHub(t), cluster: cluster, client: client, namespace: namespace, system: namespace + "-system", dir: t.TempDir(),
		app: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: namespace, Name: "app"},
	}
}

func (b *bench) assignment(generation uint64) fleet.Assignment {
	return fleet.Assignment{
		App: b.app, State: fleet.Active, Generation: generation, Pin: generation, Release: fleet.Release{App: b.app, Prune: true, ReleaseSpec: fleet.ReleaseSpec{Wait: true}},
		Controls: fleet.Controls{Interval: time.Minute, RetryInterval: time.Second, Timeout: 30 * time.Second},
	}
}

func (b *bench) configMap(name, value string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q},"data":{"key":%q}}`, name, b.namespace, value)
}

// agent is a running spoke.
type agent struct {
	log  *logs
	stop func() error
	done chan error
}

func (b *bench) start(change func(*spoke.Config)) *agent {
	b.Helper()
	a := &agent{log: &logs{}, done: make(chan error, 1)}
	config := spoke.Config{
		Hub: rpctest.Address, Dialer: b.hub.server.Dialer, Token: b.hub.token, REST: b.cluster.REST(),
		DataDir: filepath.Join(b.dir, "data"), Namespace: b.system,
		Log: slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithCancel(b.Context())
	go func() { a.done <- spoke.Run(ctx, config) }()
	var once sync.Once
	var ended error
	a.stop = func() error {
		once.Do(func() {
			cancel()
			ended = <-a.done
		})
		return ended
	}
	b.Cleanup(func() {
		if err := a.stop(); b.Failed() {
			b.Logf("the spoke ended with %v; its log:\n%s", err, a.log)
		}
	})
	return a
}

// settled waits until the App is reported settled at a generation.
func (b *bench) settled(generation uint64) {
	b.Helper()
	lab.Eventually(b, patience, "the App is settled", func() error {
		r := b.hub.report(b.app)
		if r.GetGeneration() != generation || r.GetStage() != spokev1.Stage_STAGE_SETTLED || !r.GetConverged() {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
}

// value waits until a ConfigMap says what is wanted; empty: until it is gone.
func (b *bench) value(name, want string) {
	b.Helper()
	lab.Eventually(b, patience, "ConfigMap "+name+" is "+want, func() error {
		m, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(b.Context(), name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) && want == "":
			return nil
		case err != nil:
			return err
		case m.Data["key"] != want:
			return fmt.Errorf("it is %q", m.Data["key"])
		}
		return nil
	})
}

// drift changes a ConfigMap behind the spoke's back, as kubectl does.
func (b *bench) drift(name string) {
	b.Helper()
	_, err := b.client.CoreV1().ConfigMaps(b.namespace).Patch(b.Context(), name, types.MergePatchType, []byte(`{"data":{"key":"drifted"}}`),
		metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		b.Fatal(err)
	}
}

func TestSpokeEnrolsAppliesPrunesAndRemoves(t *testing.T) {
	b := newBench(t)
	b.start(nil)
	a := b.assignment(1)
	b.hub.assign(t, a, b.configMap("one", "1"), b.configMap("two", "1"))
	b.settled(1)
	b.value("one", "1")
	a = b.assignment(2)
	b.hub.assign(t, a, b.configMap("one", "2"))
	b.settled(2)
	b.value("one", "2")
	b.value("two", "")

	secret, err := b.client.CoreV1().Secrets(b.system).Get(t.Context(), "flotilla-spoke", metav1.GetOptions{})
	if err != nil || string(secret.Data["cluster-name"]) != "prod-1" || len(secret.Data["tls.key"]) == 0 {
		t.Errorf("the Secret holds %v (%v)", secret.Data, err)
	}
	lab.Eventually(t, patience, "the mark is kept", func() error {
		secret, err := b.client.CoreV1().Secrets(b.system).Get(t.Context(), "flotilla-spoke", metav1.GetOptions{})
		if err == nil && string(secret.Data["state"]) != "1.3" {
			err = fmt.Errorf("it is %s", secret.Data["state"])
		}
		return err
	})

	a.State, a.Generation, a.Tombstone = fleet.Removed, 3, &fleet.Tombstone{Delete: true, Confirmed: true}
	b.hub.assign(t, a)
	lab.Eventually(t, patience, "the App is removed", func() error {
		if r := b.hub.report(b.app); r.GetStage() != spokev1.Stage_STAGE_REMOVED {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
	b.value("one", "")
}

func TestRestartedSpokeRevertsDriftWhileTheHubIsAway(t *testing.T) {
	b := newBench(t)
	first := b.start(nil)
	b.hub.assign(t, b.assignment(1), b.configMap("one", "1"))
	b.settled(1)
	b.hub.setAway(true)
	if err := first.stop(); err != nil {
		t.Errorf("Run = %v, want nil when stopped", err)
	}
	b.drift("one")
	b.start(func(c *spoke.Config) { c.Token = "" })
	b.value("one", "1")
	b.drift("one")
	b.value("one", "1")
}

func TestSpokeThatLostItsVolumeIsTheSameClusterAndConverges(t *testing.T) {
	b := newBench(t)
	first := b.start(nil)
	b.hub.assign(t, b.assignment(1), b.configMap("one", "1"))
	b.settled(1)
	if err := first.stop(); err != nil {
		t.Errorf("Run = %v, want nil when stopped", err)
	}
	b.hub.mu.Lock()
	clear(b.hub.reports)
	b.hub.mu.Unlock()
	before, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.start(func(c *spoke.Config) { c.Token, c.DataDir = "", filepath.Join(b.dir, "other") })
	b.settled(1)
	after, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "one", metav1.GetOptions{})
	if err != nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("an object that had not changed was written (%v)", err)
	}
}

func TestSpokeThatLostItsVolumeWhileTheHubIsAwayChangesNothingAndSaysSo(t *testing.T) {
	b := newBench(t)
	first := b.start(nil)
	b.hub.assign(t, b.assignment(1), b.configMap("one", "1"), b.configMap("two", "1"))
	b.settled(1)
	b.hub.setAway(true)
	if err := first.stop(); err != nil {
		t.Errorf("Run = %v, want nil when stopped", err)
	}
	b.drift("one")
	before := b.versions()
	b.hub.mu.Lock()
	said := b.hub.hellos
	b.hub.mu.Unlock()
	second := b.start(func(c *spoke.Config) { c.Token, c.DataDir = "", filepath.Join(b.dir, "other") })
	lab.Eventually(t, patience, "it says that it has no state, and asks for it", func() error {
		b.hub.mu.Lock()
		defer b.hub.mu.Unlock()
		if !strings.Contains(second.log.String(), "the desired state is not on disk") || b.hub.hellos < said+3 {
			return fmt.Errorf("%d hellos", b.hub.hellos-said)
		}
		return nil
	})
	if after := b.versions(); after != before {
		t.Errorf("without a state the objects went from %s to %s", before, after)
	}
	b.hub.setAway(false)
	b.settled(1)
	b.value("one", "1")
}

// versions are the uid and resourceVersion of all ConfigMaps of the App.
func (b *bench) versions() string {
	b.Helper()
	list, err := b.client.CoreV1().ConfigMaps(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "kustomize.toolkit.fluxcd.io/name=app"})
	if err != nil {
		b.Fatal(err)
	}
	var versions []string
	for _, m := range list.Items {
		versions = append(versions, fmt.Sprint(m.Name, " ", m.UID, " ", m.ResourceVersion))
	}
	return strings.Join(versions, ", ")
}

func TestSuspendedAppThatEndsKeepsWhatAPersonChanged(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted %t", restart), func(t *testing.T) {
			b := newBench(t)
			agent := b.start(nil)
			a := b.assignment(1)
			b.hub.assign(t, a, b.configMap("one", "1"))
			b.settled(1)
			release := b.hub.release(t, b.app)
			a.Release, a.Generation, a.Suspend = release, 2, true
			b.hub.assign(t, a)
			lab.Eventually(t, patience, "it is suspended", func() error {
				if r := b.hub.report(b.app); r.GetStage() != spokev1.Stage_STAGE_SUSPENDED {
					return fmt.Errorf("reported is %v", r)
				}
				return nil
			})
			b.drift("one")
			before := b.versions()
			if restart {
				if err := agent.stop(); err != nil {
					t.Errorf("Run = %v", err)
				}
			}
			a.State, a.Generation, a.Tombstone = fleet.Removed, 3, &fleet.Tombstone{}
			b.hub.assign(t, a)
			if restart {
				b.start(nil)
			}
			lab.Eventually(t, patience, "it is removed", func() error {
				if r := b.hub.report(b.app); r.GetStage() != spokev1.Stage_STAGE_REMOVED {
					return fmt.Errorf("reported is %v", r)
				}
				return nil
			})
			if after := b.versions(); after != before {
				t.Errorf("what a person changed went from %s to %s", before, after)
			}
		})
	}
}

func TestSecondAgentOfAClusterWaitsAndSaysSo(t *testing.T) {
	b := newBench(t)
	first := b.start(nil)
	b.hub.assign(t, b.assignment(1), b.configMap("one", "1"))
	b.settled(1)
	second := b.start(func(c *spoke.Config) { c.DataDir = filepath.Join(b.dir, "second") })
	lab.Eventually(t, patience, "the second agent says that it waits", func() error {
		if !strings.Contains(second.log.String(), "another agent acts for this cluster") {
			return errors.New("it says nothing of that")
		}
		return nil
	})
	third := b.start(nil) // in the first one's directory
	if err := <-third.done; !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), filepath.Join(b.dir, "data")) {
		t.Errorf("a spoke in a directory in use: %v", err)
	}
	third.done <- nil
	b.hub.mu.Lock()
	hellos := b.hub.hellos
	b.hub.mu.Unlock()
	if hellos != 1 {
		t.Errorf("the hub was said hello %d times", hellos)
	}
	if err := first.stop(); err != nil {
		t.Errorf("Run = %v", err)
	}
	b.hub.assign(t, b.assignment(2), b.configMap("one", "2"))
	b.settled(2) // by the second
}

func TestTokenThatIsOfNoUseEndsTheSpokeAndSaysWhy(t *testing.T) {
	b := newBench(t)
	b.hub.token = "another"
	token := newHub(t).token
	a := b.start(func(c *spoke.Config) { c.Token = token })
	lab.Eventually(t, patience, "the spoke says that it is the wrong hub", func() error {
		if !strings.Contains(a.log.String(), "not the hub that the pin names") {
			return errors.New("it does not")
		}
		return nil
	})
	if err := a.stop(); err != nil {
		t.Errorf("Run = %v, want nil when stopped", err)
	}
	none := b.start(func(c *spoke.Config) { c.Token = "" })
	if err := <-none.done; !errors.Is(err, fleet.ErrTerminal) || !strings.Contains(err.Error(), "join token") {
		t.Errorf("without a token: %v", err)
	}
	none.done <- nil
}

func TestProbesAndMetricsAreServed(t *testing.T) {
	b := newBench(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	b.start(func(c *spoke.Config) { c.HTTPListen = address })
	get := func(path string) (int, string, error) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response.StatusCode, string(body), err
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		lab.Eventually(t, patience, path+" is 200", func() error {
			status, body, err := get(path)
			if err == nil && status != http.StatusOK {
				err = fmt.Errorf("%d: %s", status, body)
			}
			return err
		})
	}
	lab.Eventually(t, patience, "the metrics say that it is connected", func() error {
		_, body, err := get("/metrics")
		if err == nil && !strings.Contains(body, "flotilla_session_connected 1") {
			err = errors.New("they do not")
		}
		return err
	})
}

func TestConfigReportsEveryProblemAtOnceAndNeverTheToken(t *testing.T) {
	t.Parallel()
	err := spoke.Run(t.Context(), spoke.Config{Hub: "x", Token: "fl1.hunter2", Namespace: "A", HTTPListen: "y", Concurrency: -1})
	for _, want := range []string{"--hub", "--token", "--namespace", "--http-listen", "--concurrency"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in %v", want, err)
		}
	}
	var log logs
	token := newHub(t).token
	slog.New(slog.NewTextHandler(&log, nil)).Info("starting", "config", spoke.Config{Token: token})
	if secret := strings.Split(token, ".")[2]; strings.Contains(err.Error()+log.String(), "hunter2") || strings.Contains(log.String(), secret) {
		t.Errorf("the token shows in %v or %s", err, log.String())
	}
}

// logs is a log that can be read while it is written.
type logs struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
