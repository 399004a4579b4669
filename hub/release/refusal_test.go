package release_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// refusing is a memory that may refuse one of several upstreams of a remote.
type refusing struct {
	memory
	refuses   atomic.Bool
	questions atomic.Int64 // about what is refused
}

func (r *refusing) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	name := ""
	switch spec := u.Spec.(type) {
	case flux.HelmChart:
		name = spec.Chart
	case flux.Bucket:
		name = spec.Prefix
	}
	if name == "refused" && r.refuses.Load() {
		r.questions.Add(1)
		return source.Found{}, u.Fail(source.KindAuth, "denied")
	}
	return r.memory.Resolve(ctx, u)
}

// A registry judges each chart by itself, and object storage each prefix of a bucket.
func TestWhatOneSourceIsRefusedIsNotSaidOfTheOthersOfItsRemote(t *testing.T) {
	t.Parallel()
	for kind, spec := range map[string]string{
		"HelmChart": `"interval":"10m","chart":%q,"sourceRef":{"kind":"HelmRepository","name":"registry"}`,
		"Bucket":    `"interval":"10m","endpoint":"s3.example.com","bucketName":"app","prefix":%q`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var r refusing
			b := newBundleWith(t, func(c *release.Config) {
				inMemory(&r.memory)(c)
				c.Fetcher = &r
			})
			b.source("HelmRepository", "apps", "registry", `"url":"oci://registry.example.com/charts","type":"oci"`)
			names := []string{"a", "b", "refused", "c", "d"}
			for _, name := range names {
				b.source(kind, "apps", name, fmt.Sprintf(spec, name))
				b.eventuallyOf(kind, "apps", name, good)
			}
			r.refuses.Store(true)
			b.reconcileOf(kind, "apps", "refused")
			b.eventuallyOf(kind, "apps", "refused", saying("denied"))
			// Each retry takes the others along, that only wait for their time.
			lab.Eventually(t, time.Minute, "it is tried again", func() error {
				if n := r.questions.Load(); n < 3 {
					return fmt.Errorf("asked %d times", n)
				}
				return nil
			})
			events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: kind})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Warning && e.Name != "refused" {
					t.Errorf("%s: %s %s", e.Name, e.Reason, e.Message)
				}
			}
		})
	}
}
