package helm

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestARecordIsBounded(t *testing.T) {
	t.Parallel()
	var r record
	for n := range 100 {
		phases := make([]string, 1000)
		for i := range phases {
			phases[i] = "Succeeded"
		}
		phases[999] = "Failed"
		r.Status.History = append(r.Status.History, version(100-n, "superseded", "1", hooks(phases...)))
	}
	data, err := r.encode()
	if err != nil || len(data) > fleet.MaxDetail {
		t.Errorf("it has %d bytes, error %v", len(data), err)
	}
	var read record
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if n := len(read.Status.History); n != maxVersions || !hasFailedTest(read.Status.History[0]) {
		t.Errorf("%d versions are left; of the newest's tests one failed: %t", n, hasFailedTest(read.Status.History[0]))
	}
}

func TestToWriteARecordChangesNothingOfIt(t *testing.T) {
	t.Parallel()
	r := record{Status: fleet.HelmStatus{History: []fleet.HelmSnapshot{version(1, "deployed", "1", hooks(make([]string, 2*maxHooks)...))}}}
	if _, err := r.encode(); err != nil {
		t.Fatal(err)
	}
	if n := len(r.Status.History[0].TestHooks); n != 2*maxHooks {
		t.Errorf("%d of %d tests are left", n, 2*maxHooks)
	}
}

func TestThatAVersionHasNoTestsOutlivesARestart(t *testing.T) {
	t.Parallel()
	r := record{Status: fleet.HelmStatus{History: []fleet.HelmSnapshot{version(1, "deployed", "1", hooks())}}}
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	var read record
	if err := json.Unmarshal(data, &read); err != nil || !isTested(read.Status.History[0]) {
		t.Errorf("it is tested: %t, error %v", isTested(read.Status.History[0]), err)
	}
}

func TestOnlyTheVersionThatWasIntendedIsTakenForOurs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		intent intent
		stored fleet.HelmSnapshot
		ours   bool
	}{
		"the next":              {intent{Action: job.Upgrade, From: 1, Chart: "web@2", Config: "sha256:values"}, version(2, "deployed", "2"), true},
		"the next but one":      {intent{Action: job.Upgrade, From: 1, Chart: "web@2", Config: "sha256:values"}, version(3, "deployed", "2"), false},
		"of another chart":      {intent{Action: job.Upgrade, From: 1, Chart: "web@3", Config: "sha256:values"}, version(2, "deployed", "2"), false},
		"of other values":       {intent{Action: job.Upgrade, From: 1, Chart: "web@2", Config: "sha256:other"}, version(2, "deployed", "2"), false},
		"values kept beside":    {intent{Action: job.Upgrade, From: 1, Chart: "web@2"}, version(2, "deployed", "2"), true},
		"by a rollback":         {intent{Action: job.Rollback, From: 1, Chart: "web@2", Config: "sha256:values"}, version(2, "deployed", "2"), true},
		"an uninstall has none": {intent{Action: job.Uninstall, From: 1, Chart: "web@2", Config: "sha256:values"}, version(2, "deployed", "2"), false},
	} {
		r := record{Intent: &c.intent}
		r.resolve([]fleet.HelmSnapshot{c.stored}, flux.HelmReleaseSpec{}, time.Now())
		if ours := len(r.Status.History) == 1; ours != c.ours || r.Intent != nil {
			t.Errorf("%s: taken for ours is %t, want %t; intent %+v", name, ours, c.ours, r.Intent)
		}
	}
}

// What ended right before a kill is told as what it was.
func TestWhatEndedBeforeAKillIsToldAsIfThereHadBeenNone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, bad := version(1, "superseded", "1"), version(2, "failed", "2")
	ran := func(phases ...string) func(*fleet.HelmSnapshot) {
		return func(s *fleet.HelmSnapshot) {
			s.LastDeployed = now
			hooks(phases...)(s)
			for _, hook := range s.TestHooks {
				hook.LastStarted = now.Add(time.Second)
			}
		}
	}
	for name, c := range map[string]struct {
		intent           intent
		recorded, stored []fleet.HelmSnapshot
		attempted        job.Action
		condition        func(fleet.HelmStatus) fleet.Condition
		is, told         string
		failures         int64
	}{
		"install": {
			intent{Action: job.Install, Chart: "web@2"}, nil, []fleet.HelmSnapshot{version(1, "deployed", "2")}, job.Install, released,
			"True InstallSucceeded Helm install succeeded for release apps/app.v1 with chart web@2", "InstallSucceeded", 0,
		},
		"upgrade": {
			intent{Action: job.Upgrade, From: 1, Chart: "web@2"}, []fleet.HelmSnapshot{version(1, "deployed", "1")},
			[]fleet.HelmSnapshot{version(2, "deployed", "2"), old}, job.Upgrade, released,
			"True UpgradeSucceeded Helm upgrade succeeded for release apps/app.v2 with chart web@2", "UpgradeSucceeded", 0,
		},
		"rollback": {
			intent{Action: job.Rollback, From: 2, Chart: "web@1", About: old}, []fleet.HelmSnapshot{bad, old},
			[]fleet.HelmSnapshot{version(3, "deployed", "1"), bad, old}, job.Upgrade, remediated,
			"True RollbackSucceeded Helm rollback to previous release apps/app.v1 with chart web@1 succeeded", "RollbackSucceeded", 0,
		},
		"uninstall as a remedy": {
			intent{Action: job.Uninstall, From: 2, About: bad}, []fleet.HelmSnapshot{bad, old}, nil, job.Upgrade, remediated,
			"True UninstallSucceeded Helm uninstall succeeded for release apps/app.v2 with chart web@2", "UninstallSucceeded", 0,
		},
		"uninstall that keeps the history": {
			intent{Action: job.Uninstall, From: 2, About: bad}, []fleet.HelmSnapshot{bad},
			[]fleet.HelmSnapshot{version(2, "uninstalled", "2")}, job.Upgrade, remediated,
			"True UninstallSucceeded Helm uninstall succeeded for release apps/app.v2 with chart web@2", "UninstallSucceeded", 0,
		},
		"uninstall of what is not wanted": {
			intent{Action: job.Uninstall, From: 2, About: bad, Retire: true}, []fleet.HelmSnapshot{bad, old}, nil, job.Upgrade, released,
			"False UninstallSucceeded Helm uninstall succeeded for release apps/app.v2 with chart web@2", "UninstallSucceeded", 0,
		},
		"unlock": {
			intent{Action: job.Unlock, From: 2, About: version(2, "pending-upgrade", "2")}, []fleet.HelmSnapshot{version(2, "pending-upgrade", "2"), old},
			[]fleet.HelmSnapshot{bad, old}, job.Upgrade, released,
			"False PendingRelease Unlocked Helm release apps/app.v2 with chart web@2, which an action that was interrupted had left pending-upgrade", "PendingRelease", 0,
		},
		"test": {
			intent{Action: job.Test, From: 1}, []fleet.HelmSnapshot{version(1, "deployed", "1")},
			[]fleet.HelmSnapshot{version(1, "deployed", "1", ran("Succeeded", "Succeeded"))}, job.Upgrade, tested,
			"True TestSucceeded Helm test succeeded for release apps/app.v1 with chart web@1: 2 of its tests completed", "TestSucceeded", 0,
		},
		"test that failed": {
			intent{Action: job.Test, From: 1}, []fleet.HelmSnapshot{version(1, "deployed", "1")},
			[]fleet.HelmSnapshot{version(1, "deployed", "1", ran("Succeeded", "Failed"))}, job.Upgrade, tested,
			"False TestFailed Helm test failed for release apps/app.v1 with chart web@1: test b failed", "TestFailed", 1,
		},
		"test that did not end": {
			intent{Action: job.Test, From: 1}, []fleet.HelmSnapshot{version(1, "deployed", "1")},
			[]fleet.HelmSnapshot{version(1, "deployed", "1", ran("Succeeded", "Running"))}, job.Upgrade, tested, "  ", "", 0,
		},
		"test of the version that was rolled back to": {
			intent{Action: job.Test, From: 1}, []fleet.HelmSnapshot{version(1, "deployed", "1")},
			[]fleet.HelmSnapshot{version(1, "deployed", "1", ran("Succeeded"), func(s *fleet.HelmSnapshot) { s.LastDeployed = now.Add(time.Hour) })},
			job.Upgrade, tested, "  ", "", 0,
		},
	} {
		r := record{Intent: &c.intent, Status: fleet.HelmStatus{
			History: c.recorded, LastAttemptedReleaseAction: string(c.attempted),
			Released: fleet.Condition{Status: fleet.True, Reason: "InstallSucceeded", Message: "of the version before"},
		}}
		told := r.resolve(c.stored, flux.HelmReleaseSpec{Test: &flux.HelmTest{Enable: true}}, now)
		if is := c.condition(r.Status); string(is.Status)+" "+is.Reason+" "+is.Message != c.is {
			t.Errorf("%s: it is %q", name, string(is.Status)+" "+is.Reason+" "+is.Message)
		}
		if told.Reason != c.told || r.Intent != nil || r.Status.Failures != c.failures || r.Status.UpgradeFailures != c.failures {
			t.Errorf("%s: told is %+v, and the record %+v", name, told, r)
		}
		if c.told != "" && r.Interrupted != "" {
			t.Errorf("%s: %s counts as interrupted", name, r.Interrupted)
		}
	}
}

func released(s fleet.HelmStatus) fleet.Condition   { return s.Released }
func remediated(s fleet.HelmStatus) fleet.Condition { return s.Remediated }
func tested(s fleet.HelmStatus) fleet.Condition     { return s.TestSuccess }

func TestATestThatEndsHelmsProcessCountsAsFailedOnceItHasBegun(t *testing.T) {
	t.Parallel()
	now := time.Now()
	begun := version(1, "deployed", "1", hooks("Succeeded", "Running", ""))
	for _, hook := range begun.TestHooks {
		hook.LastStarted = now
	}
	of := func(stored fleet.HelmSnapshot, crashed bool) record {
		r := record{Intent: &intent{Action: job.Test, From: 1, Crashed: crashed}, Status: fleet.HelmStatus{
			History: []fleet.HelmSnapshot{version(1, "deployed", "1")}, LastAttemptedReleaseAction: "upgrade",
		}}
		r.resolve([]fleet.HelmSnapshot{stored}, flux.HelmReleaseSpec{Test: &flux.HelmTest{Enable: true}}, now)
		return r
	}
	if r := of(begun, true); !hasFailedTest(r.Status.History[0]) || r.Status.UpgradeFailures != 1 {
		t.Errorf("the record is %+v", r)
	}
	if r := of(begun, false); isTested(r.Status.History[0]) || r.Status.UpgradeFailures != 0 {
		t.Errorf("of a process that was killed the record is %+v", r)
	}
	if r := of(version(1, "deployed", "1"), true); isTested(r.Status.History[0]) || r.Status.UpgradeFailures != 0 {
		t.Errorf("of one that ended before it began the record is %+v", r)
	}
}

func TestHistoryIsKeptUpToWhatIsRolledBackTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec    flux.HelmReleaseSpec
		history string
	}{
		"remedied":        {flux.HelmReleaseSpec{}, "v9:deployed:2 v8:failed:2 v7:superseded:1"},
		"tried as it is":  {flux.HelmReleaseSpec{Upgrade: &flux.HelmUpgrade{Strategy: &flux.HelmStrategy{Name: "RetryOnFailure"}}}, "v9:deployed:2 v8:failed:2 v7:superseded:1 v6:superseded:1 v5:superseded:1"},
		"never was there": {flux.HelmReleaseSpec{}, "v9:deployed:2 v8:failed:1 v7:failed:1 v6:failed:1 v5:failed:1"},
	} {
		history := []fleet.HelmSnapshot{version(9, "deployed", "2"), version(8, "failed", "2")}
		for n := 7; n > 1; n-- {
			history = append(history, version(n, "superseded", "1"))
		}
		if name == "never was there" {
			for i := range history[1:] {
				history[i+1].Status, history[i+1].ChartVersion = "failed", "1"
			}
		}
		if got := say(shortened(history, c.spec, fleet.HelmStatus{LastAttemptedReleaseAction: "upgrade"})); got != c.history {
			t.Errorf("%s: left is %q, want %q", name, got, c.history)
		}
	}
}

func TestWhatOthersMadeIsNotTakenIntoTheHistory(t *testing.T) {
	t.Parallel()
	history := []fleet.HelmSnapshot{version(2, "deployed", "1", hooks("Succeeded"))}
	history[0].OCIDigest = "sha256:1"
	stored := []fleet.HelmSnapshot{version(4, "deployed", "2"), version(3, "superseded", "9"), version(2, "superseded", "1"), version(1, "superseded", "0")}
	got := absorb(history, stored, 3, "rollback")
	if say(got) != "v4:deployed:2 v2:superseded:1" || got[0].Action != "rollback" || got[1].Action != "upgrade" ||
		got[1].OCIDigest != "sha256:1" || len(got[1].TestHooks) != 1 {
		t.Errorf("history is %+v", got)
	}
	if got := absorb(history, []fleet.HelmSnapshot{version(1, "deployed", "2")}, 0, "install"); say(got) != "v1:deployed:2" {
		t.Errorf("after an install there is %q", say(got))
	}
	if got := absorb(history, nil, 0, "install"); say(got) != "v2:deployed:1" {
		t.Errorf("after an install that stored nothing there is %q", say(got))
	}
	if got := absorb(history, nil, 2, "upgrade"); say(got) != "v2:deployed:1" {
		t.Errorf("what is gone is not missed: %q", say(got))
	}
}

func TestWhatOthersHadChangedBeforeAnActionDoesNotBecomeOursByIt(t *testing.T) {
	t.Parallel()
	v1, v2, v3 := version(1, "superseded", "1"), version(2, "deployed", "2"), version(3, "failed", "3")
	touched := v1
	touched.Digest = "another"
	s := fleet.HelmStatus{History: []fleet.HelmSnapshot{v2, v1}}
	s, _ = ended(s, outcome{step: step{action: job.Upgrade}, before: 2, was: []fleet.HelmSnapshot{v2, touched}, answer: job.Answer{
		Failure: &job.Failure{Message: "no", Began: true}, History: []fleet.HelmSnapshot{v3, v2, touched},
	}})
	if len(s.History) != 3 || s.History[0].Digest != v3.Digest || owns(s.History[2], touched) {
		t.Errorf("history is %+v", s.History)
	}
}

func TestMessagesAreFluxsAndBounded(t *testing.T) {
	t.Parallel()
	n := names{Release: "app", Namespace: "apps"}
	o := outcome{step: step{action: job.Upgrade}, names: n, wanted: job.Prepared{ChartName: "web", ChartVersion: "2"}, now: time.Now()}
	o.answer.Failure = &job.Failure{Message: strings.Repeat("é", maxMessage), Began: true}
	s, event := ended(fleet.HelmStatus{}, o)
	if !strings.HasPrefix(event.Message, "Helm upgrade failed for release apps/app with chart web@2: é") || len(event.Message) > maxMessage+8 {
		t.Errorf("told are %d bytes: %.100s", len(event.Message), event.Message)
	}
	if s.Released.Status != fleet.False || s.Released.Reason != "UpgradeFailed" || s.UpgradeFailures != 1 || !event.Warning {
		t.Errorf("status is %+v", s)
	}
}

func TestALongNameOfAReleaseIsShortenedAsInFlux(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec flux.HelmReleaseSpec
		name string
		want names
	}{
		{flux.HelmReleaseSpec{}, "app", names{"app", "apps", "apps"}},
		{flux.HelmReleaseSpec{TargetNamespace: "prod"}, "app", names{"prod-app", "prod", "apps"}},
		{flux.HelmReleaseSpec{TargetNamespace: "prod", ReleaseName: "web", StorageNamespace: "helm"}, "app", names{"web", "prod", "helm"}},
		{flux.HelmReleaseSpec{TargetNamespace: "some-front-appended-namespace"}, "release-with-a-name-that-is-too-long", names{"some-front-appended-namespace-release-wi-935b944e261b", "some-front-appended-namespace", "apps"}},
	} {
		if got := namesOf(fleet.Key{Namespace: "apps", Name: c.name}, c.spec); got != c.want {
			t.Errorf("%s of %+v: %+v, want %+v", c.name, c.spec, got, c.want)
		}
	}
}

func TestRetriesComeEverMoreSlowlyButAlwaysWithinAMinute(t *testing.T) {
	t.Parallel()
	var said []string
	for _, n := range []int64{0, 1, 2, 3, 7, 1000} {
		said = append(said, fmt.Sprint(againAfter(n)))
	}
	if got := strings.Join(said, " "); got != "1s 1s 2s 4s 1m0s 1m0s" {
		t.Errorf("after %s", got)
	}
}
