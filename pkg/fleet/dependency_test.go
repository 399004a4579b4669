package fleet_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestPrerequisiteSaysWhatItLacksAtARevision(t *testing.T) {
	t.Parallel()
	of := fleet.AppStatus{Revision: "main@sha1:2", Attempted: "main@sha1:2"}
	for name, c := range map[string]struct {
		edit func(p *fleet.Prerequisite, of *fleet.AppStatus)
		want string
	}{
		"at the revision":             {func(*fleet.Prerequisite, *fleet.AppStatus) {}, ""},
		"behind":                      {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Revision = "main@sha1:1" }, "dependency Kustomization/apps/a is at revision main@sha1:1, not at main@sha1:2"},
		"behind, for it is suspended": {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Revision, p.Suspended = "main@sha1:1", true }, "is at revision main@sha1:1, and suspended, not at main@sha1:2"},
		"never built":                 {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Revision = "" }, "is not built yet"},
		"not built there": {func(p *fleet.Prerequisite, _ *fleet.AppStatus) {
			p.Revision, p.Reason, p.Message = "main@sha1:1", "BuildFailed", "no such file"
		}, "is not built at revision main@sha1:2: BuildFailed: no such file"},
		"declared anew":   {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Generation = 2 }, "is not built as it is declared yet"},
		"suspended since": {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Generation, p.Suspended = 2, true }, ""},
		"ahead of one that cannot be": {func(p *fleet.Prerequisite, of *fleet.AppStatus) {
			p.Revision, of.Attempted = "main@sha1:3", "main@sha1:3"
		}, ""},
		"ahead of one that will be so": {func(p *fleet.Prerequisite, _ *fleet.AppStatus) { p.Revision = "main@sha1:3" }, "is at revision main@sha1:3, not at main@sha1:2"},
	} {
		of := of
		p := fleet.Prerequisite{App: fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "a"}, Generation: 1,
			AppStatus: fleet.AppStatus{ObservedGeneration: 1, Revision: "main@sha1:2", Attempted: "main@sha1:2"}}
		c.edit(&p, &of)
		if got := p.Lacks(of); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
