package render_test

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

func TestMain(m *testing.M) {
	render.Main()
	os.Exit(m.Run())
}

type countHandler struct{ count func() }

func (h countHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h countHandler) Handle(context.Context, slog.Record) error {
	h.count()
	return nil
}
func (h countHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h countHandler) WithGroup(string) slog.Handler      { return h }

func start(t testing.TB, config render.Config) *render.Pool {
	t.Helper()
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	pool, err := render.New(config)
	if err != nil {
		t.Fatal(err)
	}
	runPool(t, pool)
	return pool
}

func runPool(t testing.TB, pool *render.Pool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// eventually returns when it is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func pidOf(t *testing.T, pool *render.Pool, tenant string) int {
	t.Helper()
	result, err := pool.BuildHook(t.Context(), newJob(tenant, nil), "pid")
	if err != nil {
		t.Fatal(err)
	}
	pid := result.Objects[1]
	return int(pid[0]) | int(pid[1])<<8 | int(pid[2])<<16
}

// counts are the builds by result.
func counts(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "flotilla_render_builds_total" {
			for _, metric := range family.GetMetric() {
				out[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	return out
}

func newJob(tenant string, files map[string]string) render.Job {
	blobs := map[fleet.Digest][]byte{}
	tree := &artifact.Tree{}
	for path, content := range files {
		digest := fleet.DigestOf([]byte(content))
		blobs[digest] = []byte(content)
		tree.Files = append(tree.Files, artifact.File{Path: path, Digest: digest, Size: int64(len(content))})
	}
	slices.SortFunc(tree.Files, func(a, b artifact.File) int { return strings.Compare(a.Path, b.Path) })
	return render.Job{Tenant: tenant, Path: ".", Tree: tree, Blob: func(_ context.Context, digest fleet.Digest) ([]byte, error) {
		if data, stored := blobs[digest]; stored {
			return data, nil
		}
		return nil, fleet.ErrNotFound
	}}
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n"
}

// endless is a job with these fields whose build, once it is planned, waits for a file until it is ended.
func endless(fields string) render.Job {
	job := newJob("a", map[string]string{"kustomization.yaml": "resources: [a.yaml]\n" + fields, "crd.json": "{}", "a.yaml": configMap("a")})
	blob, held := job.Blob, fleet.DigestOf([]byte(configMap("a")))
	job.Blob = func(ctx context.Context, digest fleet.Digest) ([]byte, error) {
		if digest == held { // the plan does not read it
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		return blob(ctx, digest)
	}
	return job
}
