package bucket_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// bundle is a server with a bucket, and a Bucket that fetches from it.
type bundle struct {
	t       *testing.T
	s3      *lab.S3
	store   *countingStore
	fetcher *bucket.Bucket
}

func newBundle(t *testing.T, config lab.S3Config) *bundle {
	t.Helper()
	b := &bundle{t: t, s3: lab.TestS3(t, config), store: &countingStore{}}
	if err := b.s3.MakeBucket("app"); err != nil {
		t.Fatal(err)
	}
	b.fetcher = newFetcher(t, bucket.Config{Store: b.store})
	return b
}

func newFetcher(t *testing.T, config bucket.Config) *bucket.Bucket {
	t.Helper()
	config.Metrics = source.NewMetrics(nil)
	if config.Store == nil {
		config.Store = &artifact.Memory{}
	}
	if config.Network == nil {
		config.Network = source.NewNetwork(source.NetworkConfig{Metrics: config.Metrics})
	}
	config.Log = slog.New(slog.DiscardHandler)
	fetcher, err := bucket.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return fetcher
}

func (b *bundle) put(objects map[string]string) {
	b.t.Helper()
	for key, content := range objects {
		if err := b.s3.Put("app", key, content); err != nil {
			b.t.Fatal(err)
		}
	}
}

// upstream is the bucket with the lab's keys; change has the last word.
func (b *bundle) upstream(change ...func(*source.Upstream, *flux.Bucket)) source.Upstream {
	u := source.Upstream{Secrets: source.Secrets{"secretRef": {"accesskey": []byte(lab.AccessKey), "secretkey": []byte(lab.SecretKey)}}}
	spec := flux.Bucket{BucketName: "app", Endpoint: b.s3.Host(), Insecure: true, SecretRef: &flux.SecretRef{Name: "keys"}}
	return finish(u, spec, change...)
}

func finish(u source.Upstream, spec flux.Bucket, change ...func(*source.Upstream, *flux.Bucket)) source.Upstream {
	for _, f := range change {
		f(&u, &spec)
	}
	u.Kind, u.URL, u.Spec = "Bucket", spec.URL(), spec
	if u.Timeout == 0 {
		u.Timeout = 30 * time.Second
	}
	return u
}

func (b *bundle) resolve(u source.Upstream) source.Found {
	b.t.Helper()
	found, err := b.fetcher.Resolve(b.t.Context(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// fetch returns the contents of what the upstream has.
func (b *bundle) fetch(u source.Upstream) map[string]string {
	b.t.Helper()
	fetched, err := b.fetcher.Fetch(b.t.Context(), u, b.resolve(u))
	if err != nil {
		b.t.Fatal(err)
	}
	return contents(b.t, b.store, fetched)
}

// try is the error of resolving and fetching.
func try(t *testing.T, fetcher *bucket.Bucket, u source.Upstream) error {
	t.Helper()
	found, err := fetcher.Resolve(t.Context(), u)
	if err == nil {
		_, err = fetcher.Fetch(t.Context(), u, found)
	}
	return err
}

func contents(t *testing.T, store artifact.Store, fetched *source.Artifact) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range fetched.Tree.Files {
		data, err := store.Get(t.Context(), file.Digest)
		if err != nil || int64(len(data)) != file.Size || file.Mode != artifact.Regular {
			t.Fatalf("%+v: %d bytes, %v", file, len(data), err)
		}
		out[file.Path] = string(data)
	}
	return out
}

// countingStore is a store that counts the blobs put, and can fail.
type countingStore struct {
	mu    sync.Mutex
	inner artifact.Memory
	count int
	fail  error
}

func (s *countingStore) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += len(blobs)
	if s.fail != nil {
		return s.fail
	}
	return s.inner.Put(ctx, blobs)
}

func (s *countingStore) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	return s.inner.Missing(ctx, digests)
}

func (s *countingStore) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	return s.inner.Get(ctx, digest)
}

// lose empties the store.
func (s *countingStore) lose() { s.inner = artifact.Memory{} }
