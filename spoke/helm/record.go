package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// record is what is known of an App over a restart. It is in the cluster, beside what it is about: a spoke that lost its
// volume, or another one, goes on where this one was.
type record struct {
	Status fleet.HelmStatus `json:"status"`
	// Applied is the release that the cluster runs, Bound the binding with it; zero: none is known.
	Applied fleet.Digest `json:"applied,omitzero"`
	Bound   fleet.Digest `json:"bound,omitzero"`
	// Attempted names all that the newest attempt was of but what the cluster has of its own. With another one, failures
	// count no more.
	Attempted fleet.Digest `json:"attempted,omitzero"`
	// Patched are the Placement's patches that the release was made with, and Wanted the digest of the values that it was
	// asked to have: with upgrade.preserveValues it has others beside.
	Patched fleet.Digest `json:"patched,omitzero"`
	Wanted  string       `json:"wanted,omitempty"`
	// Plain says that no value of a Secret went into the newest version: it may be shown.
	Plain bool `json:"plain,omitempty"`
	// Target is where the release is; nil: nothing was ever attempted.
	Target *target `json:"target,omitempty"`
	// Intent is the action that is under way, or was when the spoke ended.
	Intent *intent `json:"intent,omitempty"`
	// Interrupted is an action that was cut short and whose like has not begun since.
	Interrupted job.Action `json:"interrupted,omitempty"`
	// Crashes counts the processes in a row that ended in an action.
	Crashes int `json:"crashes,omitempty"`
	// Quiet is what the newest pass depended on, if that left nothing to do.
	Quiet *quiet `json:"quiet,omitempty"`
	// Origin names the state of a suspended Flux object that was taken in.
	Origin string `json:"origin,omitempty"`
}

// target is where a release is, and what it takes to get rid of it without its chart.
type target struct {
	names
	ServiceAccount string                 `json:"serviceAccount,omitempty"`
	Uninstall      *flux.HelmUninstall    `json:"uninstall,omitempty"`
	WaitStrategy   *flux.HelmWaitStrategy `json:"waitStrategy,omitempty"`
}

// quiet is what a pass depended on that left nothing to do.
type quiet struct {
	// Basis names what the hub said.
	Basis fleet.Digest `json:"basis"`
	// Read are the ConfigMaps and Secrets that values are from, by "Kind/name", at their resourceVersions; empty: it was not
	// there.
	Read map[string]string `json:"read,omitempty"`
	// Stored are Helm's Secrets of the release, by name, at their resourceVersions.
	Stored map[string]string `json:"stored,omitempty"`
}

// maxHooks and maxVersions bound what is recorded.
const (
	maxHooks    = 50
	maxVersions = 10
)

func (r record) encode() ([]byte, error) {
	// The record is a copy, but for what it points to.
	r.Status.History = slices.Clone(r.Status.History[:min(len(r.Status.History), maxVersions)])
	for i := range r.Status.History {
		r.Status.History[i].TestHooks = fewer(r.Status.History[i].TestHooks)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return data, nil
}

// fewer leaves out tests that went well, where there are many: whether one failed, or did not end, is what counts.
func fewer(hooks map[string]*fleet.HelmTestHook) map[string]*fleet.HelmTestHook {
	if len(hooks) <= maxHooks {
		return hooks
	}
	weight := func(name string) int {
		switch hook := hooks[name]; {
		case hook != nil && hook.Phase == phaseFailed:
			return 0
		case hook == nil || hook.Phase != phaseSucceeded:
			return 1
		}
		return 2
	}
	names := slices.SortedFunc(maps.Keys(hooks), func(a, b string) int {
		if by := weight(a) - weight(b); by != 0 {
			return by
		}
		return strings.Compare(a, b)
	})
	left := map[string]*fleet.HelmTestHook{}
	for _, name := range names[:maxHooks] {
		left[name] = hooks[name]
	}
	return left
}
