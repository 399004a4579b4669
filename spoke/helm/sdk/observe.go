package sdk

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"

	"flotilla.dev/flotilla/pkg/fleet"
)

// snapshotVersion says how the Digest of a snapshot is made, in Flux's words.
const snapshotVersion = "v2"

// Observation is what of a version of a release Flux's digest is about, in its order of fields: the digest of a snapshot is
// that of its JSON.
type Observation struct {
	Name          string         `json:"name"`
	Version       int            `json:"version"`
	Info          release.Info   `json:"info"`
	ChartMetadata chart.Metadata `json:"chartMetadata"`
	Config        map[string]any `json:"config"`
	Manifest      string         `json:"manifest"`
	// Hooks but for tests: those change whenever somebody tests.
	Hooks     []release.Hook `json:"hooks"`
	Namespace string         `json:"namespace"`
	OCIDigest string         `json:"ociDigest,omitempty"`
}

// observe answers with what Helm has stored.
func (a *action) observe() error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	versions, err := versionsOf(config.Releases.History(a.job.Release))
	if err != nil {
		return err
	}
	for _, version := range versions {
		snapshot, err := a.snapshot(version)
		if err != nil {
			return err
		}
		a.answer.History = append(a.answer.History, snapshot)
	}
	return nil
}

// versionsOf are the versions of a release, the newest first.
func versionsOf[T any](stored []T, err error) ([]*release.Release, error) {
	if err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, err
	}
	var out []*release.Release
	for _, one := range stored {
		if version, is := any(one).(*release.Release); is {
			out = append(out, version)
		}
	}
	slices.SortFunc(out, func(a, b *release.Release) int { return cmp.Compare(b.Version, a.Version) })
	return out, nil
}

func (a *action) snapshot(r *release.Release) (fleet.HelmSnapshot, error) {
	o := Observation{
		Name: r.Name, Version: r.Version, Manifest: r.Manifest, Namespace: r.Namespace, OCIDigest: a.ociDigest(r),
	}
	if r.Info != nil {
		o.Info = *r.Info
	}
	if r.Chart != nil && r.Chart.Metadata != nil {
		o.ChartMetadata = *r.Chart.Metadata
	}
	if len(r.Config) > 0 {
		o.Config = r.Config
	}
	for _, hook := range r.Hooks {
		if !isTest(hook) {
			o.Hooks = append(o.Hooks, *hook)
		}
	}
	digest, err1 := jsonDigest(o)
	config, err2 := valuesDigest(r.Config)
	return fleet.HelmSnapshot{
		APIVersion: snapshotVersion, Digest: digest, Name: r.Name, Namespace: r.Namespace, Version: r.Version,
		Status: o.Info.Status.String(), Action: string(a.made[r.Version]),
		ChartName: o.ChartMetadata.Name, ChartVersion: o.ChartMetadata.Version, AppVersion: o.ChartMetadata.AppVersion,
		ConfigDigest: config, OCIDigest: o.OCIDigest,
		FirstDeployed: o.Info.FirstDeployed, LastDeployed: o.Info.LastDeployed, Deleted: o.Info.Deleted, TestHooks: a.tests(r),
	}, errors.Join(err1, err2)
}

// ociDigest is that of the artifact that a version was made of; where it is not on record, that of the Job's chart if the
// version has its beginning: an action may have been interrupted before it was told of.
func (a *action) ociDigest(r *release.Release) string {
	if known, is := a.digests[r.Version]; is {
		return known
	}
	digest := a.job.Plan.Chart.OCIDigest
	if _, sum, found := strings.Cut(digest, ":"); found && len(sum) >= 12 && strings.HasSuffix(versionOf(r), "+"+sum[:12]) {
		return digest
	}
	return ""
}

func versionOf(r *release.Release) string {
	if r.Chart == nil || r.Chart.Metadata == nil {
		return ""
	}
	return r.Chart.Metadata.Version
}

// tests are those of a version that have run; nil: none has. A version without tests has been tested when that was done
// now.
func (a *action) tests(r *release.Release) map[string]*fleet.HelmTestHook {
	out, ran := map[string]*fleet.HelmTestHook{}, false
	for _, hook := range r.Hooks {
		if !isTest(hook) || !a.chosen(hook.Name) {
			continue
		}
		test := &fleet.HelmTestHook{LastStarted: hook.LastRun.StartedAt, LastCompleted: hook.LastRun.CompletedAt, Phase: string(hook.LastRun.Phase)}
		out[hook.Name] = test
		ran = ran || test.Phase != ""
	}
	if ran || len(out) == 0 && a.tested == r.Version {
		return out
	}
	return nil
}

// chosen reports whether spec.test.filters choose a test.
func (a *action) chosen(name string) bool {
	if a.job.Plan.Spec.Test == nil {
		return true
	}
	included, only := false, false
	for _, filter := range a.job.Plan.Spec.Test.Filters {
		switch {
		case filter.Exclude && filter.Name == name:
			return false
		case !filter.Exclude:
			only = true
			included = included || filter.Name == name
		}
	}
	return included || !only
}

func isTest(hook *release.Hook) bool { return slices.Contains(hook.Events, release.HookTest) }
