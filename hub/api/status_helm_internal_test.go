package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// helmInstance is a HelmRelease in a cluster whose spoke told that detail.
func helmInstance(t *testing.T, cluster string, connected bool, detail fleet.HelmStatus) fleet.Instance {
	t.Helper()
	raw, err := json.Marshal(detail)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	i := fleet.Instance{Cluster: cluster, Connected: connected, CreatedAt: at, PinnedAt: at, ReportedAt: at.Add(time.Hour), DriftedSince: at.Add(time.Minute), ReadySince: at, HealthySince: at, LastSeen: at, Attempted: "1.2.0@sha256:0", Applied: "1.2.0@sha256:0"}
	i.Assignment = fleet.Assignment{App: fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "apps", Name: "web"}, State: fleet.Active}
	i.Report = &fleet.Report{App: i.Assignment.App, Release: i.Assignment.Release.Digest(), Ready: fleet.Condition{Status: fleet.True}, Healthy: fleet.Condition{Status: fleet.True}, Detail: raw}
	return i
}

// conditionIn is "Status Reason Message" of a condition of a status.
func conditionIn(t *testing.T, status any, kind string) string {
	t.Helper()
	raw, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct{ Conditions []condition }
	if err := json.Unmarshal(raw, &decoded); err != nil {
		t.Fatal(err)
	}
	for _, c := range decoded.Conditions {
		if c.Type == kind {
			return string(c.Status) + " " + c.Reason + " " + c.Message
		}
	}
	return ""
}

func TestAHelmReleaseInAClusterShowsFluxsStatus(t *testing.T) {
	t.Parallel()
	deployed := time.Date(2026, 1, 2, 3, 30, 0, 0, time.UTC)
	i := helmInstance(t, "eu-1", true, fleet.HelmStatus{
		Released: fleet.Condition{Status: fleet.True, Reason: "UpgradeSucceeded", Message: "upgraded"},
		Drifted:  fleet.Condition{Status: fleet.False, Reason: "NoDriftDetected"},
		Stalled:  fleet.Condition{Status: fleet.False},
		History:  []fleet.HelmSnapshot{{Name: "web", Namespace: "apps", Version: 3, Status: "deployed", ChartVersion: "1.2.0+0", LastDeployed: deployed}},
		Failures: 2, UpgradeFailures: 1, StorageNamespace: "apps", LastAttemptedRevision: "1.2.0+0", LastAttemptedReleaseAction: "upgrade", LastAttemptedConfigDigest: "sha256:c",
	})
	status := statusOfInstance(i, 1)
	if got := conditionIn(t, status, "Released"); got != "True UpgradeSucceeded upgraded" {
		t.Errorf("Released: %q", got)
	}
	if got := conditionIn(t, status, "Drifted"); got != "False NoDriftDetected " {
		t.Errorf("Drifted: %q", got)
	}
	if got := conditionIn(t, status, "TestSuccess") + conditionIn(t, status, "Remediated"); got != "" {
		t.Errorf("conditions that nobody told: %q", got)
	}
	i.Report.Ready.Reason, i.Report.Ready.Message = "UpgradeSucceeded", "Helm upgrade succeeded"
	if got := conditionIn(t, statusOfInstance(i, 1), "Ready"); got != "True UpgradeSucceeded Helm upgrade succeeded" {
		t.Errorf("Ready: %q", got)
	}
	raw, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		LastAttemptedRevision, LastAttemptedReleaseAction, LastAttemptedConfigDigest, StorageNamespace string
		Failures, UpgradeFailures                                                                      int
		History                                                                                        []fleet.HelmSnapshot
		Conditions                                                                                     []condition
		Fleet                                                                                          instanceFleet
		Released, Drifted, Stalled                                                                     *fleet.Condition
	}
	if err := json.Unmarshal(raw, &shown); err != nil {
		t.Fatal(err)
	}
	if shown.LastAttemptedRevision != "1.2.0@sha256:0" || shown.LastAttemptedReleaseAction != "upgrade" || shown.LastAttemptedConfigDigest != "sha256:c" || shown.StorageNamespace != "apps" ||
		shown.Failures != 2 || shown.UpgradeFailures != 1 || len(shown.History) != 1 || shown.History[0].Version != 3 || !shown.Fleet.Connected || shown.Released != nil || shown.Drifted != nil || shown.Stalled != nil {
		t.Errorf("status %s", raw)
	}
	for _, c := range shown.Conditions {
		if c.Type == "Released" && !c.LastTransitionTime.Equal(deployed) {
			t.Errorf("released since %s, and deployed at %s", c.LastTransitionTime, deployed)
		}
		if c.Type == "Drifted" && !c.LastTransitionTime.Equal(i.DriftedSince) {
			t.Errorf("drifted, or not, since %s, and that is so since %s", c.LastTransitionTime, i.DriftedSince)
		}
	}
	i.Connected = false
	if got := conditionIn(t, statusOfInstance(i, 1), "Released"); !strings.HasPrefix(got, "Unknown ClusterUnreachable") {
		t.Errorf("out of reach, Released: %q", got)
	}
	i.Connected, i.Report.Detail = true, nil
	if got := conditionIn(t, statusOfInstance(i, 1), "Released"); got != "" {
		t.Errorf("with nothing told, Released: %q", got)
	}
}

// What alerts look for is Flux's word, and not what the last action came to.
func TestAHelmReleaseThatIsStalledSaysWhyByFluxsReason(t *testing.T) {
	t.Parallel()
	i := helmInstance(t, "eu-1", true, fleet.HelmStatus{
		Remediated: fleet.Condition{Status: fleet.True, Reason: "RollbackSucceeded", Message: "rolled back"},
		Stalled:    fleet.Condition{Status: fleet.True, Reason: "RetriesExceeded", Message: "Failed to upgrade after 1 attempt(s)"},
	})
	i.Report.Ready, i.Report.Terminal = fleet.Condition{Status: fleet.False, Reason: "RollbackSucceeded", Message: "rolled back"}, true
	if got := conditionIn(t, statusOfInstance(i, 1), "Stalled"); got != "True RetriesExceeded Failed to upgrade after 1 attempt(s)" {
		t.Errorf("Stalled: %q", got)
	}
	created := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	object := &resource.Object{Kind: "HelmRelease", Metadata: resource.Metadata{Namespace: "apps", Name: "web", CreationTimestamp: &created}, Spec: []byte(`{"interval":"1m"}`)}
	state := fleet.AppState{Version: 1}
	state.Release = i.Assignment.Release.Digest()
	sum := statusOfApp(object, state, []fleet.Instance{i}, &placedOn{since: created, clusters: []string{"eu-1"}}, "")
	if got := conditionIn(t, sum, "Stalled"); got != "True RetriesExceeded eu-1: Failed to upgrade after 1 attempt(s)" {
		t.Errorf("in the fleet, Stalled: %q", got)
	}
	i.Connected = false
	if got := conditionIn(t, statusOfInstance(i, 1), "Stalled"); got != "" {
		t.Errorf("out of reach, Stalled: %q", got)
	}
	i = helmInstance(t, "eu-1", true, fleet.HelmStatus{})
	i.Report.Ready, i.Report.Terminal = fleet.Condition{Status: fleet.False, Reason: "ArtifactFailed", Message: "no chart"}, true
	if got := conditionIn(t, statusOfInstance(i, 1), "Stalled"); got != "True ArtifactFailed no chart" {
		t.Errorf("of what its spoke does not say that it is stalled: %q", got)
	}
}

func TestAHelmReleaseSumsUpWhatItsClustersTell(t *testing.T) {
	t.Parallel()
	good := fleet.HelmStatus{Released: fleet.Condition{Status: fleet.True, Reason: "InstallSucceeded"}, TestSuccess: fleet.Condition{Status: fleet.True, Reason: "TestSucceeded"}, Drifted: fleet.Condition{Status: fleet.False, Reason: "NoDriftDetected"}}
	bad := fleet.HelmStatus{Released: fleet.Condition{Status: fleet.False, Reason: "UpgradeFailed", Message: "timed out"}, Drifted: fleet.Condition{Status: fleet.True, Reason: "DriftDetected", Message: "1 object"}}
	created := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	object := &resource.Object{Kind: "HelmRelease", Metadata: resource.Metadata{Namespace: "apps", Name: "web", CreationTimestamp: &created},
		Spec: []byte(`{"interval":"1m","chart":{"spec":{"chart":"a","sourceRef":{"kind":"HelmRepository","name":"a","namespace":"shared"}}}}`)}
	of := func(instances ...fleet.Instance) appStatus {
		placed := &placedOn{since: created}
		for _, i := range instances {
			placed.clusters = append(placed.clusters, i.Cluster)
		}
		state := fleet.AppState{Version: 1}
		state.Release = instances[0].Assignment.Release.Digest()
		return statusOfApp(object, state, instances, placed, "")
	}
	all := of(helmInstance(t, "a", true, good), helmInstance(t, "b", true, good))
	for kind, want := range map[string]string{"Released": "True InstallSucceeded in 2 clusters", "TestSuccess": "True TestSucceeded in 2 clusters", "Drifted": "False NoDriftDetected in 2 clusters", "Remediated": ""} {
		if got := conditionIn(t, all, kind); got != want {
			t.Errorf("all good, %s: %q, want %q", kind, got, want)
		}
	}
	if all.HelmChart != "shared/apps-web" {
		t.Errorf("its chart is %q", all.HelmChart)
	}
	some := of(helmInstance(t, "a", true, good), helmInstance(t, "b", true, bad), helmInstance(t, "c", true, bad), helmInstance(t, "d", false, bad))
	for kind, want := range map[string]string{"Released": "False UpgradeFailed b, c: timed out", "TestSuccess": "True TestSucceeded in 1 cluster", "Drifted": "True DriftDetected b, c: 1 object"} {
		if got := conditionIn(t, some, kind); got != want {
			t.Errorf("two bad, %s: %q, want %q", kind, got, want)
		}
	}
	other := bad
	other.Released.Reason = "InstallFailed"
	if got := conditionIn(t, of(helmInstance(t, "b", true, bad), helmInstance(t, "c", true, bad), helmInstance(t, "d", true, other)), "Released"); got != "False UpgradeFailed b, c, d: timed out" {
		t.Errorf("with reasons of several kinds, Released: %q", got)
	}
	if got := conditionIn(t, of(helmInstance(t, "a", true, other), helmInstance(t, "b", true, bad)), "Released"); got != "False InstallFailed a, b: timed out" {
		t.Errorf("with as many of each, Released: %q", got)
	}
	away := of(helmInstance(t, "a", true, good), helmInstance(t, "d", false, bad))
	if got := conditionIn(t, away, "Released"); !strings.HasPrefix(got, "Unknown ClusterUnreachable d: ") {
		t.Errorf("one away, Released: %q", got)
	}
}
