package helm

import (
	"maps"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// intent is an action before it is done. With it, what the action made is known for ours whenever the spoke ends.
type intent struct {
	Action job.Action `json:"action"`
	// From is the newest version that was stored before.
	From int `json:"from"`
	// Chart and Config are what the version that it makes has; no Config: that depends on the version before. Wanted are the
	// values that it is asked to have.
	Chart  string `json:"chart,omitempty"`
	Config string `json:"config,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	// About is the version that it is about: what is rolled back to, unlocked, or to be gone. Retire says that an uninstall is
	// no remedy.
	About  fleet.HelmSnapshot `json:"about,omitzero"`
	Retire bool               `json:"retire,omitempty"`
	// Patches are those of the Placement that it is made with.
	Patches fleet.Digest `json:"patches,omitzero"`
	// PostRenderers and CommonMetadata are the digests of those fields that it is made with.
	PostRenderers  string `json:"postRenderers,omitempty"`
	CommonMetadata string `json:"commonMetadata,omitempty"`
	// Crashed says that Helm's process went over a bound, or crashed, in it: the same again will too, so it counts.
	Crashed bool `json:"crashed,omitempty"`
}

// intend is what is noted before an action.
func (p *pass) intend(n step, before int) *intent {
	i := &intent{Action: n.action, From: before, Retire: n.retire}
	switch n.action {
	case job.Install, job.Upgrade:
		i.Chart, i.Config, i.Wanted = p.prepared.ChartName+"@"+p.prepared.ChartVersion, p.prepared.ConfigDigest, p.prepared.ConfigDigest
		if u := p.plan.Spec.Upgrade; n.action == job.Upgrade && u != nil && u.PreserveValues {
			i.Config = ""
		}
		i.Patches = patchesOf(p.target.Binding)
		i.PostRenderers, i.CommonMetadata = p.prepared.PostRenderersDigest, p.prepared.CommonMetadataDigest
	case job.Rollback:
		to := p.about(n)
		i.Chart, i.Config = chartOf(to), to.ConfigDigest
	}
	if sorts[n.action] != releasing {
		i.About = p.about(n)
		i.About.TestHooks = nil // they are many, and nobody asks for them
	}
	return i
}

// resolve takes in what is stored of an action of ours that did not come to its end here. What it made is ours. One that was
// over is told as if that had been noted. Another is no failure, unless the chart itself is why.
func (r *record) resolve(stored []fleet.HelmSnapshot, spec flux.HelmReleaseSpec, now time.Time) (told fleet.Event) {
	i := r.Intent
	if i == nil {
		return told
	}
	r.Intent = nil
	if i.Action == job.Test && len(stored) > 0 {
		stored = slices.Clone(stored)
		stored[0].TestHooks = ran(stored[0])
	}
	made := i.made(stored)
	if i.over(stored, made) {
		r.Status, told = ended(r.Status, i.outcome(stored, spec, now))
		r.Crashes = 0
		r.done(i)
		return told
	}
	before := newest(stored)
	if made != nil {
		before = i.From
	}
	r.Status.History = absorb(r.Status.History, stored, before, string(i.Action))
	switch {
	case i.Action == job.Test && i.Crashed:
		r.Status = crashedTest(r.Status, spec)
	case i.Action == job.Test, i.Action == job.Unlock: // they make no version, and are repeated as they are
	case made != nil && i.Crashed && sorts[i.Action] == releasing:
		r.Status = counted(r.Status, i.Action)
	default:
		r.Interrupted = i.Action
	}
	return told
}

// done takes note of what a version of ours was made with.
func (r *record) done(i *intent) {
	if sorts[i.Action] != releasing {
		return
	}
	r.Patched, r.Wanted = i.Patches, i.Wanted
	r.Status.ObservedPostRenderersDigest, r.Status.ObservedCommonMetadataDigest = i.PostRenderers, i.CommonMetadata
}

// made is the version that an action of ours has stored; nil: none.
func (i *intent) made(stored []fleet.HelmSnapshot) *fleet.HelmSnapshot {
	if len(stored) == 0 || sorts[i.Action] == remediating && i.Action != job.Rollback {
		return nil
	}
	last := stored[0]
	if last.Version != i.From+1 || chartOf(last) != i.Chart || i.Config != "" && last.ConfigDigest != i.Config {
		return nil
	}
	return &last
}

// over reports whether the action had come to its end, as Helm has stored it. A version that failed is no such sign: Helm notes
// that of an action that is cut short too.
func (i *intent) over(stored []fleet.HelmSnapshot, made *fleet.HelmSnapshot) bool {
	same := len(stored) > 0 && stored[0].Version == i.From
	switch i.Action {
	case job.Uninstall:
		return len(stored) == 0 || same && stored[0].Status == statusUninstalled
	case job.Unlock:
		return same && !slices.Contains(pendings, stored[0].Status)
	case job.Test:
		return same && stored[0].TestHooks != nil && isTested(stored[0])
	}
	return made != nil && made.Status == statusDeployed
}

// outcome is what an action that is over came to.
func (i *intent) outcome(stored []fleet.HelmSnapshot, spec flux.HelmReleaseSpec, now time.Time) outcome {
	o := outcome{
		step: step{action: i.Action, retire: i.Retire}, answer: job.Answer{History: stored}, before: i.From, about: i.About, spec: spec,
		wanted: job.Prepared{PostRenderersDigest: i.PostRenderers, CommonMetadataDigest: i.CommonMetadata}, now: now,
	}
	if i.Action == job.Test && hasFailedTest(stored[0]) {
		var names []string
		for name, hook := range stored[0].TestHooks {
			if hook.Phase == phaseFailed {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		o.answer.Failure = &job.Failure{Message: "test " + strings.Join(names, ", ") + " failed"}
	}
	return o
}

// ran are the tests of a version as they were run of it; nil: none was. A rollback takes along what the tests of the version
// that it goes back to came to.
func ran(s fleet.HelmSnapshot) map[string]*fleet.HelmTestHook {
	tests, any := make(map[string]*fleet.HelmTestHook, len(s.TestHooks)), false
	for name, hook := range s.TestHooks {
		tests[name] = &fleet.HelmTestHook{}
		if hook != nil && hook.Phase != "" && !hook.LastStarted.Before(s.LastDeployed) {
			tests[name], any = hook, true
		}
	}
	if !any {
		return nil
	}
	return tests
}

// crashedTest has the tests that did not end, once one has begun, count as failed: they would not end the next time either.
func crashedTest(s fleet.HelmStatus, spec flux.HelmReleaseSpec) fleet.HelmStatus {
	if len(s.History) == 0 || s.History[0].TestHooks == nil {
		return s
	}
	tests := maps.Clone(s.History[0].TestHooks)
	for name, hook := range tests {
		if hook == nil {
			hook = &fleet.HelmTestHook{}
		}
		if hook.Phase != phaseSucceeded {
			tests[name] = &fleet.HelmTestHook{LastStarted: hook.LastStarted, LastCompleted: hook.LastCompleted, Phase: phaseFailed}
		}
	}
	s.History = slices.Clone(s.History)
	s.History[0].TestHooks = tests
	return failedTest(s, spec)
}
