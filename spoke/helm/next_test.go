package helm

import (
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// version is one of a release, as it is stored and recorded.
func version(n int, status, chart string, edits ...func(*fleet.HelmSnapshot)) fleet.HelmSnapshot {
	s := fleet.HelmSnapshot{
		APIVersion: digestVersion, Name: "app", Namespace: "apps", Version: n, Status: status, ChartName: "web", ChartVersion: chart,
		ConfigDigest: "sha256:values", Action: "upgrade",
	}
	for _, edit := range edits {
		edit(&s)
	}
	s.Digest = string(rune('a'+n)) + status + chart + s.ConfigDigest
	return s
}

func hooks(phases ...string) func(*fleet.HelmSnapshot) {
	return func(s *fleet.HelmSnapshot) {
		s.TestHooks = map[string]*fleet.HelmTestHook{}
		for i, phase := range phases {
			s.TestHooks[string(rune('a'+i))] = &fleet.HelmTestHook{Phase: phase}
		}
	}
}

// of is a view of a release whose stored versions were all recorded, of which web@2 is wanted.
func of(attempted job.Action, versions ...fleet.HelmSnapshot) view {
	v := view{
		prepared: job.Prepared{ChartName: "web", ChartVersion: "2", ConfigDigest: "sha256:values"},
		stored:   versions,
	}
	v.status.History = slices.Clone(versions)
	v.status.LastAttemptedReleaseAction = string(attempted)
	return v
}

func with(v view, edits ...func(*view)) view {
	for _, edit := range edits {
		edit(&v)
	}
	return v
}

func TestEachTransitionOfAReleaseIsFluxs(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	retries := func(n int, says *fleetRemedy) func(*view) {
		return func(v *view) {
			r := &flux.HelmRemediation{Retries: n}
			if says != nil {
				r.Strategy, r.RemediateLastFailure, r.IgnoreTestFailures = says.strategy, says.last, says.ignoreTests
			}
			v.spec.Install, v.spec.Upgrade = &flux.HelmInstall{Remediation: r}, &flux.HelmUpgrade{Remediation: r}
		}
	}
	failed := func(installs, upgrades int64) func(*view) {
		return func(v *view) { v.status.InstallFailures, v.status.UpgradeFailures = installs, upgrades }
	}
	strategy := func(name string) func(*view) {
		return func(v *view) {
			s := &flux.HelmStrategy{Name: name}
			v.spec.Install, v.spec.Upgrade = &flux.HelmInstall{Strategy: s}, &flux.HelmUpgrade{Strategy: s}
		}
	}
	tests := func(ignore bool) func(*view) {
		return func(v *view) { v.spec.Test = &flux.HelmTest{Enable: true, IgnoreFailures: ignore} }
	}
	force := func(v *view) { v.force = true }
	done := func(sorts ...sort) func(*view) { return func(v *view) { v.done = sorts } }
	cutShort := func(a job.Action) func(*view) { return func(v *view) { v.interrupted = a } }
	stranger := func(v *view) { v.status.History = nil }
	left := func(v *view) { v.left = 7 }
	keeps := func(v *view) { v.spec.Uninstall = &flux.HelmUninstall{KeepHistory: true} }
	touched := func(v *view) { v.stored[0].Digest = "another" }
	good, bad := version(1, "superseded", "1"), version(2, "failed", "2")
	for name, c := range map[string]struct {
		view
		state state
		step
	}{
		// There is none.
		"none":                                {of(""), absent, step{action: job.Install}},
		"none, and installs failed too often": {with(of(job.Install), failed(1, 0)), absent, step{end: exhausted}},
		"none, retries are left":              {with(of(job.Install), retries(1, nil), failed(1, 0)), absent, step{action: job.Install}},
		"none, retries without end":           {with(of(job.Install), retries(-1, nil), failed(99, 0)), absent, step{action: job.Install}},
		// The strategy says nothing of what is absent: as in Flux, retries bound it.
		"none, exhausted, and tried as it is":    {with(of(job.Install), strategy("RetryOnFailure"), failed(1, 0)), absent, step{end: exhausted}},
		"none, and tried as it is without end":   {with(of(job.Install), retries(-1, nil), failed(9, 0)), absent, step{action: job.Install}},
		"none, and forced though exhausted":      {with(of(job.Install), failed(1, 0), force), absent, step{action: job.Install}},
		"uninstalled by us":                      {of(job.Install, version(1, "uninstalled", "2")), absent, step{action: job.Install, replace: true}},
		"uninstalled by others before":           {with(of("", version(1, "uninstalled", "2")), stranger), absent, step{action: job.Install}},
		"uninstalled, where histories are kept":  {with(of("", version(1, "uninstalled", "2")), stranger, keeps), absent, step{action: job.Install, replace: true}},
		"uninstalled by others since":            {with(of(job.Install, version(1, "uninstalled", "2")), touched), absent, step{action: job.Install, replace: true}},
		"none, but install was done in the pass": {with(of(job.Install), done(releasing)), absent, step{end: again}},
		// It is held by an action.
		"pending-install":                 {with(of("", version(1, "pending-install", "2")), stranger), locked, step{action: job.Unlock, version: 1}},
		"pending-upgrade":                 {of(job.Upgrade, version(3, "pending-upgrade", "2"), good), locked, step{action: job.Unlock, version: 3}},
		"pending-rollback":                {of(job.Upgrade, version(3, "pending-rollback", "1"), good), locked, step{action: job.Unlock, version: 3}},
		"uninstalling":                    {of(job.Upgrade, version(3, "uninstalling", "1"), good), leaving, step{action: job.Uninstall}},
		"pending by somebody else":        {with(of(job.Upgrade, version(3, "pending-upgrade", "9"), good), stranger, left), locked, step{end: waiting, left: 7}},
		"pending too long":                {with(of(job.Upgrade, version(3, "pending-upgrade", "9"), good), stranger), locked, step{action: job.Unlock, version: 3}},
		"ours, cut short just now":        {with(of(job.Upgrade, version(3, "pending-upgrade", "2"), good), left), locked, step{action: job.Unlock, version: 3}},
		"uninstalled by somebody else":    {with(of(job.Upgrade, version(3, "uninstalling", "1"), good), left, func(v *view) { v.status.History[0].Status = "deployed" }), leaving, step{end: waiting, left: 7}},
		"our uninstall, cut short":        {with(of(job.Upgrade, version(3, "uninstalling", "1"), good), left), leaving, step{action: job.Uninstall}},
		"pending after it was unlocked":   {with(of(job.Upgrade, version(3, "pending-upgrade", "2")), done(unlocking)), locked, step{end: again}},
		"an install that was interrupted": {with(of(job.Install, version(1, "failed", "2")), cutShort(job.Install)), "failed", step{action: job.Install, replace: true}},
		"an install that was interrupted, with a failure before": {with(of(job.Install, version(1, "failed", "2")), cutShort(job.Install), failed(1, 0), retries(3, nil)), "failed", step{action: job.Install, replace: true}},
		"an upgrade that was interrupted":                        {with(of(job.Upgrade, bad, good), cutShort(job.Upgrade)), "failed", step{action: job.Upgrade}},
		"an upgrade that was interrupted, with a failure before": {with(of(job.Upgrade, bad, good), cutShort(job.Upgrade), failed(0, 1), retries(3, nil)), "failed", step{action: job.Upgrade}},
		"a rollback that was interrupted":                        {with(of(job.Upgrade, version(3, "failed", "1"), bad, good), cutShort(job.Rollback), failed(0, 1), retries(3, nil)), "failed", step{action: job.Rollback, version: 1}},
		// It is another's.
		"made by others":    {with(of("", version(1, "deployed", "2")), stranger), unmanaged, step{action: job.Upgrade, forget: true}},
		"changed by others": {with(of(job.Upgrade, version(1, "deployed", "2")), touched), unmanaged, step{action: job.Upgrade, forget: true}},
		"upgraded by others": {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) {
			v.stored = []fleet.HelmSnapshot{version(2, "deployed", "2"), v.stored[0]}
		}), unmanaged, step{action: job.Upgrade, forget: true}},
		"recorded by an older Flux": {with(of(job.Upgrade, version(1, "deployed", "2")), touched, func(v *view) { v.status.History[0].APIVersion = "" }), inSync, step{end: settled}},
		"newest is superseded":      {of(job.Upgrade, version(1, "superseded", "2")), unmanaged, step{action: job.Upgrade, forget: true}},
		// It is not what it should be.
		"another version of the chart": {of(job.Upgrade, version(1, "deployed", "1")), outOfSync, step{action: job.Upgrade}},
		"another chart":                {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.prepared.ChartName = "shop" }), outOfSync, step{action: job.Upgrade}},
		"other values":                 {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.prepared.ConfigDigest = "sha256:other" }), outOfSync, step{action: job.Upgrade}},
		"values kept beside": {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) {
			v.spec.Upgrade = &flux.HelmUpgrade{PreserveValues: true}
			v.prepared.ConfigDigest = "sha256:asked"
			v.asked = "sha256:asked"
		}), inSync, step{end: settled}},
		"other post-renderers":          {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.prepared.PostRenderersDigest = "sha256:other" }), outOfSync, step{action: job.Upgrade}},
		"no post-renderers any more":    {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.status.ObservedPostRenderersDigest = "sha256:old" }), outOfSync, step{action: job.Upgrade}},
		"other common metadata":         {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.prepared.CommonMetadataDigest = "sha256:other" }), outOfSync, step{action: job.Upgrade}},
		"other patches of a Placement":  {with(of(job.Upgrade, version(1, "deployed", "2")), func(v *view) { v.patches = fleet.Digest{1} }), outOfSync, step{action: job.Upgrade}},
		"different, upgrades exhausted": {with(of(job.Upgrade, version(1, "deployed", "1")), failed(0, 1)), outOfSync, step{end: exhausted}},
		"different, exhausted, forced":  {with(of(job.Upgrade, version(1, "deployed", "1")), failed(0, 1), force), outOfSync, step{action: job.Upgrade}},
		"different after an upgrade":    {with(of(job.Upgrade, version(1, "deployed", "1")), done(releasing)), outOfSync, step{end: again}},
		// It failed.
		"failed, nothing attempted":             {of("", bad, good), "failed", step{action: job.Upgrade}},
		"failed, other things wanted now":       {of(job.Upgrade, bad, good), "failed", step{action: job.Upgrade}},
		"failed upgrade, no remediation":        {with(of(job.Upgrade, bad, good), failed(0, 1)), "failed", step{end: exhausted}},
		"failed upgrade, forced":                {with(of(job.Upgrade, bad, good), failed(0, 1), force), "failed", step{action: job.Upgrade}},
		"failed upgrade, retries":               {with(of(job.Upgrade, bad, good), retries(2, nil), failed(0, 1), done(releasing)), "failed", step{action: job.Rollback, version: 1}},
		"failed upgrade, the last is remedied":  {with(of(job.Upgrade, bad, good), retries(1, nil), failed(0, 2), done(releasing)), "failed", step{action: job.Rollback, version: 1}},
		"failed upgrade, the last is not":       {with(of(job.Upgrade, bad, good), retries(1, &fleetRemedy{last: &no}), failed(0, 2)), "failed", step{end: exhausted}},
		"failed upgrade, only the last is":      {with(of(job.Upgrade, bad, good), retries(0, &fleetRemedy{last: &yes}), failed(0, 1)), "failed", step{action: job.Rollback, version: 1}},
		"failed upgrade, by uninstall":          {with(of(job.Upgrade, bad, good), retries(1, &fleetRemedy{strategy: "uninstall"}), failed(0, 1)), "failed", step{action: job.Uninstall}},
		"failed upgrade, by nothing":            {with(of(job.Upgrade, bad), retries(1, nil), failed(0, 1)), "failed", step{end: aimless}},
		"failed upgrade, n-1 failed too":        {with(of(job.Upgrade, version(3, "failed", "2"), bad, good), retries(3, nil), failed(0, 2)), "failed", step{action: job.Rollback, version: 1}},
		"failed upgrade, n-1 failed its tests":  {with(of(job.Upgrade, version(3, "failed", "2"), version(2, "superseded", "1", hooks("Failed")), good), retries(3, nil), failed(0, 1)), "failed", step{action: job.Rollback, version: 1}},
		"failed upgrade, n-1's tests ignored":   {with(of(job.Upgrade, version(3, "failed", "2"), version(2, "superseded", "1", hooks("Failed")), good), retries(3, &fleetRemedy{ignoreTests: &yes}), failed(0, 1)), "failed", step{action: job.Rollback, version: 2}},
		"failed upgrade, the target is gone":    {with(of(job.Upgrade, bad, good), retries(3, nil), failed(0, 1), func(v *view) { v.stored = v.stored[:1] }), "failed", step{action: job.Upgrade}},
		"failed upgrade, the target is touched": {with(of(job.Upgrade, bad, good), retries(3, nil), failed(0, 1), func(v *view) { v.stored[1].Digest = "another" }), "failed", step{action: job.Upgrade}},
		"failed install, retries":               {with(of(job.Install, version(1, "failed", "2")), retries(1, nil), failed(1, 0)), "failed", step{action: job.Uninstall}},
		"failed install, the last stays":        {with(of(job.Install, version(1, "failed", "2")), retries(1, nil), failed(2, 0)), "failed", step{end: exhausted}},
		"failed install, the last does not":     {with(of(job.Install, version(1, "failed", "2")), retries(1, &fleetRemedy{last: &yes}), failed(2, 0)), "failed", step{action: job.Uninstall}},
		"failed, to be tried again as it is":    {with(of(job.Upgrade, bad, good), strategy("RetryOnFailure"), failed(0, 9)), "failed", step{action: job.Upgrade}},
		"failed install, tried again as it is":  {with(of(job.Install, version(1, "failed", "2")), strategy("RetryOnFailure"), failed(9, 0)), "failed", step{action: job.Upgrade}},
		"failed just now, to be tried again":    {with(of(job.Upgrade, bad, good), strategy("RetryOnFailure"), failed(0, 1), done(releasing)), "failed", step{end: later}},
		"failed, to be remediated, by name":     {with(of(job.Upgrade, bad, good), strategy("RemediateOnFailure"), failed(0, 1)), "failed", step{end: exhausted}},
		// Behind a remediation.
		"rolled back, retries are left":       {with(of(job.Upgrade, version(3, "deployed", "1"), bad, good), retries(2, nil), failed(0, 1), done(releasing, remediating)), "", step{end: again}},
		"rolled back, none is left":           {with(of(job.Upgrade, version(3, "deployed", "1"), bad, good), retries(1, nil), failed(0, 2), done(releasing, remediating)), "", step{end: exhausted}},
		"rolled back, in the next pass":       {with(of(job.Upgrade, version(3, "deployed", "1"), bad, good), retries(2, nil), failed(0, 1)), outOfSync, step{action: job.Upgrade}},
		"uninstalled for an upgrade":          {with(of(job.Upgrade), retries(0, &fleetRemedy{strategy: "uninstall", last: &yes}), failed(0, 1), done(releasing, remediating)), "", step{end: again}},
		"uninstalled for an install, at last": {with(of(job.Install), retries(0, &fleetRemedy{last: &yes}), failed(1, 0), done(releasing, remediating)), "", step{end: exhausted}},
		// Its tests.
		"never tested":                           {with(of(job.Upgrade, version(1, "deployed", "2")), tests(false)), untested, step{action: job.Test}},
		"tests under way when it ended":          {with(of(job.Upgrade, version(1, "deployed", "2", hooks("Succeeded", "Running"))), tests(false)), untested, step{action: job.Test}},
		"has no tests":                           {with(of(job.Upgrade, version(1, "deployed", "2", hooks())), tests(false)), inSync, step{end: settled}},
		"tested":                                 {with(of(job.Upgrade, version(1, "deployed", "2", hooks("Succeeded"))), tests(false)), inSync, step{end: settled}},
		"failed a test":                          {with(of(job.Upgrade, version(2, "deployed", "2", hooks("Failed")), good), tests(false), retries(1, nil), failed(0, 1)), "failed", step{action: job.Rollback, version: 1}},
		"failed a test that counts for nothing":  {with(of(job.Upgrade, version(2, "deployed", "2", hooks("Failed")), good), tests(true), failed(0, 1)), inSync, step{end: settled}},
		"failed a test that needs no remedy":     {with(of(job.Upgrade, version(2, "deployed", "2", hooks("Failed")), good), tests(false), retries(1, &fleetRemedy{ignoreTests: &yes}), failed(0, 0)), inSync, step{end: settled}},
		"failed a test after its install":        {with(of(job.Install, version(1, "deployed", "2", hooks("Failed"))), tests(false), retries(1, nil), failed(1, 0)), "failed", step{action: job.Uninstall}},
		"its install does not mind the tests":    {with(of(job.Install, version(1, "deployed", "2", hooks("Failed"))), tests(false), retries(1, &fleetRemedy{ignoreTests: &yes}), failed(1, 0)), inSync, step{end: settled}},
		"failed a test, and there is no remedy":  {with(of(job.Upgrade, version(2, "deployed", "2", hooks("Failed")), good), tests(false), failed(0, 1)), "failed", step{end: exhausted}},
		"failed a test, which nobody wants more": {of(job.Upgrade, version(2, "deployed", "2", hooks("Failed")), good), inSync, step{end: settled}},
		// It is as it should be.
		"as it should be":         {of(job.Upgrade, version(1, "deployed", "2")), inSync, step{end: settled}},
		"as it should be, forced": {with(of(job.Upgrade, version(1, "deployed", "2")), force), inSync, step{action: job.Upgrade}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := next(c.view)
			if why := got.why; got.state != c.state || why == "" && got.state != "" && got.state != inSync {
				t.Errorf("it is %q (%s), want %q, and why", got.state, why, c.state)
			}
			got.state, got.why = "", ""
			if got != c.step {
				t.Errorf("next is %+v, want %+v", got, c.step)
			}
		})
	}
}

// fleetRemedy is what a remediation says beside its retries.
type fleetRemedy struct {
	strategy          string
	last, ignoreTests *bool
}

func TestAReleaseIsDecidedTheSameWayTwice(t *testing.T) {
	t.Parallel()
	v := of(job.Upgrade, version(2, "failed", "2"), version(1, "superseded", "1"))
	history := slices.Clone(v.status.History)
	if a, b := next(v), next(v); a != b {
		t.Errorf("first %+v, then %+v", a, b)
	}
	for i, s := range v.status.History {
		if s.Version != history[i].Version || s.Digest != history[i].Digest {
			t.Errorf("deciding changed version %d to %+v", history[i].Version, s)
		}
	}
}

func TestThePauseBeforeATryIsThatOfTheActionThatFailed(t *testing.T) {
	t.Parallel()
	controls := fleet.HelmControls{RetryInstall: time.Minute, RetryUpgrade: time.Hour}
	for attempted, want := range map[job.Action]time.Duration{job.Install: time.Minute, job.Upgrade: time.Hour} {
		status := fleet.HelmStatus{LastAttemptedReleaseAction: string(attempted)}
		if got := retryInterval(status, controls); got != want {
			t.Errorf("%s: %s, want %s", attempted, got, want)
		}
		if got := retryInterval(status, fleet.HelmControls{}); got != 5*time.Minute {
			t.Errorf("%s, where nothing is said: %s", attempted, got)
		}
	}
}
