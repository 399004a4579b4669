package source_test

import (
	"context"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
)

// hostile is what some upstream's bytes do to a library.
type hostile struct{ source.Fetcher }

func (hostile) Resolve(context.Context, source.Upstream) (source.Found, error) {
	panic("text of the upstream's")
}

func (hostile) Fetch(context.Context, source.Upstream, source.Found) (*source.Artifact, error) {
	var nothing []byte
	return nil, source.Kinds(nil)[string(nothing[3])].(error)
}

func TestAPanicInAFetcherIsAFailureOfThatSource(t *testing.T) {
	t.Parallel()
	f := source.Measured(hostile{}, source.NewMetrics(nil))
	u := source.Upstream{Kind: "GitRepository", URL: "https://git.example.com/app"}
	_, resolved := f.Resolve(t.Context(), u)
	_, fetched := f.Fetch(t.Context(), u, source.Found{})
	for in, err := range map[string]error{"hostile.Resolve": resolved, "hostile.Fetch": fetched} {
		if err == nil || source.KindOf(err) != source.KindStore || !strings.Contains(err.Error(), in+":") || strings.Contains(err.Error(), "text of") {
			t.Errorf("error %v, want a failure that names %s alone", err, in)
		}
	}
}
