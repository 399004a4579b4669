package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func decoded(t *testing.T, format string, args ...any) *resource.Object {
	t.Helper()
	o, err := resource.Decode(fmt.Appendf(nil, format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Whatever could send a cluster back to what an older database holds keeps the epoch from being raised, and says what
// to do.
func TestRecoveryWaitsForWhatMayGoBack(t *testing.T) {
	t.Parallel()
	const source = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app","suspend":%t}}`
	const app = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"suspend":%t,"sourceRef":{"kind":"GitRepository","name":"app"}}}`
	key := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}
	started := time.Now()
	release := fleet.Release{App: key, Manifest: fleet.DigestOf([]byte("new"))}
	for name, test := range map[string]struct {
		change func(*recovery)
		want   string // empty: the epoch is raised
	}{
		"all anew":          {func(*recovery) {}, ""},
		"not looked at yet": {func(r *recovery) { r.states[appSource] = fleet.SourceState{} }, "GitRepository/apps/app could not be resolved yet"},
		"cannot be looked at": {func(r *recovery) {
			state := r.states[appSource]
			state.Reason, state.Message = "GitOperationFailed", "no route"
			r.states[appSource] = state
		}, "suspend the Kustomization: GitOperationFailed no route"},
		"suspended source": {func(r *recovery) { r.sources[appSource] = decoded(t, source, true) }, "resume it, or suspend the Kustomization too"},
		"source is gone":   {func(r *recovery) { delete(r.sources, appSource) }, "GitRepository/apps/app is not declared"},
		"broken commit": {func(r *recovery) {
			state := r.built[key]
			state.Attempted, state.Reason, state.Message = "main@sha1:2", fleet.ReasonBuildFailed, "no such path"
			r.built[key] = state
		}, "could not be built from main@sha1:2: mend it, or suspend it: no such path"},
		"not built yet": {func(r *recovery) {
			state := r.built[key]
			state.Revision = "main@sha1:1"
			r.built[key] = state
		}, "is not built from main@sha1:2 yet"},
		"not assigned yet": {func(r *recovery) { r.instances[0].Assignment.Release.Manifest = fleet.DigestOf([]byte("old")) }, "Kustomization/apps/app@prod-1 is not assigned yet"},
		"never built, and broken": {func(r *recovery) {
			r.built[key] = fleet.AppState{AppStatus: fleet.AppStatus{Reason: fleet.ReasonBuildFailed}}
			r.instances = nil
		}, ""},
		"suspended, and not there yet": {func(r *recovery) { r.apps[0] = decoded(t, app, true) }, "Kustomization/apps/app@prod-1 is not suspended yet"},
		"suspended App of a source that is away": {func(r *recovery) {
			r.apps[0] = decoded(t, app, true)
			r.instances[0].Assignment.Suspend = true
			r.instances[0].Assignment.Release.Manifest = fleet.DigestOf([]byte("old"))
			r.states[appSource] = fleet.SourceState{}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := recovery{
				started: started, sources: map[fleet.Key]*resource.Object{appSource: decoded(t, source, false)}, apps: []*resource.Object{decoded(t, app, false)},
				states:    map[fleet.Key]fleet.SourceState{appSource: {SourceStatus: fleet.SourceStatus{Revision: "main@sha1:2", CheckedAt: started.Add(time.Second)}}},
				built:     map[fleet.Key]fleet.AppState{key: {AppStatus: fleet.AppStatus{Revision: "main@sha1:2", Attempted: "main@sha1:2", Release: release.Digest()}}},
				instances: []fleet.Instance{{Cluster: "prod-1", Assignment: fleet.Assignment{App: key, State: fleet.Active, Release: release}}},
			}
			test.change(&r)
			if got := r.blocked(); (got == "") != (test.want == "") || !strings.Contains(got, test.want) || strings.Contains(got, "hub/") {
				t.Errorf("blocked by %q, want %q", got, test.want)
			}
		})
	}
}

var appSource = fleet.Key{Home: fleet.HubHome, Kind: "GitRepository", Namespace: "apps", Name: "app"}
