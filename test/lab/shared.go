package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The parts that the tests of one process share, each started by the first test that asks.
var (
	sharedPostgres share[*Postgres]
	sharedCluster  share[*Cluster]
)

// Main runs a package's tests, ends what they shared, and exits: the body of a TestMain.
func Main(m *testing.M) {
	code := m.Run()
	for _, stop := range []func() error{sharedFleet.stop, sharedCluster.stop, sharedPostgres.stop, sharedBinaries.stop} {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// TestDatabase makes an empty database on the test process's own server, dropped when the test ends, and returns its
// URL.
func TestDatabase(t testing.TB) string {
	t.Helper()
	name := databaseName()
	url, err := SharedPostgres(t).CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatalf("test database: %v", err)
	}
	dropAfter(t, name)
	return url
}

// TestDatabaseFrom is TestDatabase with content: prepare runs once a process for each key, on a database that is then
// copied for every test. It must close its connections.
func TestDatabaseFrom(t testing.TB, key string, prepare func(ctx context.Context, url string) error) string {
	t.Helper()
	server := SharedPostgres(t)
	entry, _ := templates.LoadOrStore(key, &template{})
	from, err := entry.(*template).of(t.Context(), server, prepare)
	name, url := databaseName(), ""
	if err == nil {
		url, err = server.copyClosed(t.Context(), from, name)
	}
	if err != nil {
		t.Fatalf("test database from %s: %v", key, err)
	}
	dropAfter(t, name)
	return url
}

// SharedPostgres is the test process's own server, which TestDatabase makes databases on. A test that kills or stops
// its server starts one of its own.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	return sharedPostgres.get(t, func(ctx context.Context) (*Postgres, error) {
		return StartPostgres(ctx, PostgresConfig{})
	})
}

// TestCluster is the test process's own cluster, with podlet and audit. Tests tell their objects apart by namespace,
// see TestNamespace; one that kills the API server or counts cluster-wide starts a cluster of its own.
func TestCluster(t testing.TB) *Cluster {
	t.Helper()
	return sharedCluster.get(t, func(ctx context.Context) (*Cluster, error) {
		return StartCluster(ctx, ClusterConfig{Name: "shared", Progress: os.Stderr, Audit: true, Podlet: true})
	})
}

// TestGit is a Git server of the test's own, stopped when the test ends.
func TestGit(t testing.TB) *GitServer {
	t.Helper()
	return TestGitAt(t, SiteConfig{})
}

// TestGitAt is TestGit, reached as the site says.
func TestGitAt(t testing.TB, config SiteConfig) *GitServer {
	t.Helper()
	server, err := StartGit(GitConfig{SiteConfig: config, Dir: filepath.Join(t.TempDir(), "git")})
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, server.Stop)
	return server
}

// share is a part made on first use. A failed start fails every test that needs it, without trying again.
type share[T interface{ Stop() error }] struct {
	once  sync.Once
	part  T
	err   error
	alive bool
}

func (s *share[T]) get(t testing.TB, start func(context.Context) (T, error)) T {
	t.Helper()
	s.once.Do(func() {
		// Not the test's context: the part outlives the test.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
		defer cancel()
		s.part, s.err = start(ctx)
		s.alive = s.err == nil
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.part
}

func (s *share[T]) stop() error {
	if !s.alive {
		return nil
	}
	return s.part.Stop()
}

// template is a database that others are copied from, several at a time: nobody may connect to it.
type template struct {
	mu   sync.Mutex
	name string // empty until prepared
}

// of prepares the database, once, and returns its name.
func (m *template) of(ctx context.Context, server *Postgres, prepare func(ctx context.Context, url string) error) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name != "" {
		return m.name, nil
	}
	name := databaseName()
	url, err := server.CreateDatabase(ctx, name)
	if err == nil {
		err = prepare(ctx, url)
	}
	if err == nil {
		err = server.allow(ctx, name, false)
	}
	if err == nil {
		m.name = name
	}
	return name, err
}

var (
	templates sync.Map // key -> *template
	databases atomic.Int64
)

func databaseName() string { return fmt.Sprintf("test_%d", databases.Add(1)) }

func dropAfter(t testing.TB, name string) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := SharedPostgres(t).DropDatabase(ctx, name); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
}
