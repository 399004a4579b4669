package source_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestFailureOfTheHubsOwnStoreIsNotTheUpstreams(t *testing.T) {
	t.Parallel()
	u := source.Upstream{Kind: "GitRepository", URL: "https://a/b", Spec: flux.GitRepository{}}
	full := &source.StoreFailure{Err: syscall.ENOSPC}
	refused := &source.StoreFailure{Err: syscall.ECONNREFUSED} // which of an upstream is something else
	over, end := context.WithCancel(t.Context())
	end()
	for name, tc := range map[string]struct {
		ctx, limited context.Context
		err          error
		want         source.Kind
	}{
		"the disk":           {t.Context(), t.Context(), fmt.Errorf("receive: %w", full), source.KindStore},
		"the database":       {t.Context(), t.Context(), refused, source.KindStore},
		"the time was over":  {t.Context(), over, refused, source.KindTimeout},
		"it was called off":  {over, over, full, source.KindCanceled},
		"it was worded once": {t.Context(), t.Context(), errors.Join(u.Fail(source.KindLimit, "too large"), full), source.KindLimit},
	} {
		failure := u.Explain(tc.ctx, tc.limited, tc.err)
		if failure == nil || failure.Kind != tc.want {
			t.Errorf("%s: %v; want %s", name, failure, tc.want)
			continue
		}
		var errno syscall.Errno
		if (tc.want == source.KindStore || tc.want == source.KindTimeout) && !errors.As(failure, &errno) {
			t.Errorf("%s: the cause is lost: %v", name, failure.Cause)
		}
	}
}
