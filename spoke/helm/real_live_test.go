// The tests of real_*_test.go are of a release under a spoke's worker, with Helm itself in processes of its own, on a real API
// server. In each the test says what is wanted, or does something to the cluster; each step that follows is the engine's own.
//
//	state        what follows                                proven by
//	absent       install                                     TestHelmsReleaseThatIsAbsentIsInstalled
//	             install: nobody waits for its objects       TestHelmsInstallThatIsNotWaitedForIsDone
//	             install, over what others uninstalled       TestHelmsReleaseThatIsUninstalledByHandIsInstalled
//	             install, over what we uninstalled           TestHelmsReleaseIsUninstalledWithItsAppAndItsHistoryKeptWhereTheSpecSaysSo
//	             nothing: RetriesExceeded                    TestHelmsLastFailedInstallIsUninstalledWhereTheSpecSaysSo
//	locked       unlock: pending-install, -upgrade, -rollback TestHelmsReleaseThatIsLockedByOneThatIsGoneIsUnlocked
//	             unlock, an action of our own                TestHelmsOwnActionThatIsKilledIsUnlockedAtOnceAndRepeated
//	             wait for somebody else's action             TestHelmsReleaseThatSomebodyIsAtWorkOnIsLeftUntilThatEnds
//	             unlock, once that has taken too long        TestHelmsReleaseThatSomebodyLeftLockedIsUnlockedOnceThatHasTakenTooLong
//	leaving      uninstall once more                         TestHelmsOwnActionThatIsKilledIsUnlockedAtOnceAndRepeated/uninstall
//	unmanaged    upgrade: made by others                     TestHelmsReleaseThatOthersMadeIsTakenUpByAnUpgrade
//	             upgrade: helm upgrade, helm rollback, edits TestHelmsReleaseThatIsChangedByHandIsUpgraded
//	             upgrade: its newest version is superseded   TestHelmsReleaseWhoseNewestVersionIsSupersededIsUpgraded
//	             upgrade: what was done while suspended      TestHelmsReleaseIsLeftAloneWhileSuspended
//	out of sync  upgrade: chart, values, post-renderers,     TestHelmsReleaseThatIsOutOfSyncIsUpgraded
//	               common metadata, a Placement's values and patches
//	             upgrade: subcharts, definitions             TestHelmsReleaseHasTheSubchartsThatItsValuesSay
//	                                                         TestHelmsReleaseWithDefinitionsOfItsOwnTreatsThemByItsPolicy
//	             upgrade: again after a rollback             TestHelmsFailedUpgradeIsRolledBackAndTriedAgain
//	             nothing: RetriesExceeded, rolled back       TestHelmsUpgradeThatBreaksIsRolledBackUntilRetriesAreExhausted
//	             upgrade: retries begin anew                 TestHelmsRetriesBeginAnewWhenOtherThingsAreWanted
//	failed       uninstall and install: of an install        TestHelmsFailedInstallIsUninstalledAndInstalledAgain
//	             uninstall: of the last install              TestHelmsLastFailedInstallIsUninstalledWhereTheSpecSaysSo
//	             nothing: RetriesExceeded, of an install     TestHelmsLastFailedInstallStaysToBeLookedAtUntilOtherThingsAreWanted
//	             upgrade: other things are wanted            TestHelmsLastFailedInstallStaysToBeLookedAtUntilOtherThingsAreWanted
//	             upgrade: RetryOnFailure                     TestHelmsFailedInstallIsTriedAgainAsItIsByTheStrategyRetryOnFailure
//	                                                         TestHelmsFailedUpgradeIsTriedAgainAsItIsByTheStrategyRetryOnFailure
//	             upgrade: resetAt, forceAt                   TestHelmsUpgradeWithoutRemediationIsTriedAgainByRequest
//	             upgrade: what it was rolled back to is gone TestHelmsUpgradeIsTriedAgainWhereWhatIsRolledBackToIsNotWhatItWas
//	             rollback: to the last good version          TestHelmsFailedUpgradeIsRolledBackToTheLastGoodVersionAndNotToTheOneBefore
//	             rollback: past what failed its tests        TestHelmsFailedTestOfAnUpgradeIsRolledBackPastWhatFailedItsTests
//	             rollback: one that fails                    TestHelmsRollbackThatFailsIsToldUntilOtherThingsAreWanted
//	             uninstall: one that fails                   TestHelmsUninstallThatFailsIsToldAndEndedOnceItCanBe
//	             uninstall: an upgrade's, by the strategy    TestHelmsFailedUpgradeIsUninstalledAndInstalledByTheStrategyUninstall
//	             nothing: RetriesExceeded, of an upgrade     TestHelmsLastFailedUpgradeStaysWhereTheSpecSaysSo
//	             nothing: MissingRollbackTarget              TestHelmsFailedUpgradeWithNothingToRollBackToStops
//	             the same action: it was killed              TestHelmsOwnActionThatIsKilledIsUnlockedAtOnceAndRepeated
//	untested     test                                        TestHelmsReleaseIsTestedAfterEachAction
//	             test once more: it was killed               TestHelmsTestsThatAreKilledRunOnceMore
//	             test: a failure, as it took too long        TestHelmsTestsThatTakeTooLongHaveFailed
//	             test: a failure of an install               TestHelmsFailedTestOfAnInstallIsUninstalledAndInstalledAgain
//	             test: a failure that does not count         TestHelmsFailedTestThatDoesNotCountChangesNothing
//	drifted      told of; put right                          TestHelmsReleaseThatHasDriftedIsPutRightAndNotUpgraded
//	in sync      upgrade: forceAt                            TestHelmsReleaseThatIsInSyncIsUpgradedOnceByForce
//	             nothing: taken over from a Flux             TestHelmsReleaseThatFluxManagesIsTakenOverWithoutAnUpgrade
//	any          uninstall, then absent: it is elsewhere     TestHelmsReleaseThatIsToBeElsewhereIsUninstalledFirst
//	                                                         TestHelmsReleaseOfAnotherChartIsUninstalledFirst
//	             uninstall, and nothing more: its App ends   TestHelmsReleaseIsUninstalledWithItsAppAndItsHistoryKeptWhereTheSpecSaysSo
//	                                                         TestHelmsReleaseWhoseAppEndsIsUninstalledOnceThatSucceeds

package helm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/helm/process"
	"flotilla.dev/flotilla/spoke/worker"
	"flotilla.dev/flotilla/test/lab"
)

// live is a release that a spoke's worker keeps, with Helm itself. A test says what is wanted, or does something to the cluster,
// and then looks: whatever becomes of it becomes so by itself.
type live struct {
	*real
	pool       *worker.Pool
	binding    fleet.Binding
	generation uint64
	newest     helm.Target

	mine    sync.Mutex
	steps   []string
	told    fleet.Report
	records map[string][]byte
}

func newLive(t *testing.T) *live {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err1 := kubernetes.NewForConfig(cluster.REST())
	program, err2 := os.Executable()
	runner, err3 := process.New(process.Config{Program: program})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	l := &live{
		real: &real{
			T: t, client: client, cluster: cluster, namespace: lab.TestNamespace(t, cluster), system: lab.TestNamespace(t, cluster),
			runner: &counted{Runner: runner}, blobs: manifest.Blobs{},
		},
		records: map[string][]byte{},
	}
	l.controls.Timeout = time.Minute
	l.run()
	t.Cleanup(func() {
		if !t.Failed() {
			l.becomes("") // nothing more was done than the test has seen
		}
		l.stop()
	})
	return l
}

// run starts an engine and the workers on it.
func (l *live) run() {
	l.Helper()
	config := l.cluster.REST()
	config.UserAgent = "engine-" + l.namespace
	engine, err := helm.New(helm.Config{
		REST: config, Runner: l.runner, Namespace: l.system, Blob: shelf{l}.Blob, Log: slog.New(l),
		Event: func(event fleet.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, event)
		},
		Changed: func(app fleet.Key) { l.pool.Changed(app) },
	})
	if err != nil {
		l.Fatal(err)
	}
	l.engine = engine
	l.pool, err = worker.New(worker.Config{
		Engine: releases{engine}, Blobs: shelf{l}, Records: l, Log: slog.New(l),
		Fetch: func(context.Context, worker.Assigned, *manifest.Manifest) (*manifest.Manifest, manifest.Blobs, error) {
			return nil, nil, errors.New("everything is there already")
		},
		Report: func(report fleet.Report) {
			l.mine.Lock()
			defer l.mine.Unlock()
			l.told = report
		},
		Forget: func(fleet.Key) {}, Event: func(fleet.Event) {},
	})
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- engine.Run(ctx) }()
	go func() { done <- l.pool.Run(ctx) }()
	l.stop = func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			l.Errorf("run: %v", err)
		}
	}
}

// wants assigns a version of the chart with the plan, controls and Binding as they are.
func (l *live) wants(version string, files map[string]string) {
	l.Helper()
	l.newest = l.target(version, files)
	l.mu.Lock()
	l.blobs[l.newest.Release.Manifest] = l.newest.Manifest.Encode()
	l.mu.Unlock()
	l.newest.Binding = l.binding
	l.assign(fleet.Active)
}

// controlled assigns the same once more, under other controls.
func (l *live) controlled(change func(*fleet.Controls)) {
	l.Helper()
	change(&l.controls)
	l.assign(fleet.Active)
}

// ends is the App's deletion.
func (l *live) ends() {
	l.Helper()
	l.assign(fleet.Removed)
	l.until("it is removed", func() bool { return l.report().Stage == fleet.StageRemoved })
}

func (l *live) assign(state fleet.AssignmentState) {
	l.generation++
	a := fleet.Assignment{
		App: l.app(), State: state, Generation: l.generation, Release: l.newest.Release, Binding: l.newest.Binding, Controls: l.controls,
	}
	if state == fleet.Removed {
		a.Tombstone = &fleet.Tombstone{Delete: true, Confirmed: true}
	}
	l.pool.Set(map[fleet.Key]*worker.Assigned{l.app(): {Assignment: a}})
}

// report is the newest one of what is assigned.
func (l *live) report() fleet.Report {
	l.mine.Lock()
	defer l.mine.Unlock()
	if l.told.Generation != l.generation {
		return fleet.Report{}
	}
	return l.told
}

// becomes waits until these were the steps since it was called last: "state:action" with a step that does something, the state
// alone where the release is left as it is. Where several paths are named, any of them will do.
func (l *live) becomes(paths ...string) {
	l.Helper()
	l.until("it becomes "+strings.Join(paths, " or "), func() bool {
		l.mine.Lock()
		defer l.mine.Unlock()
		have := strings.Join(l.steps, ", ")
		if !slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path, have) }) {
			l.Fatalf("it becomes %q, want %q", have, paths)
		}
		return slices.Contains(paths, have)
	})
	l.forget()
}

// forget leaves out the steps until here.
func (l *live) forget() {
	l.mine.Lock()
	defer l.mine.Unlock()
	l.steps = nil
}

// ready waits until Ready is told so for what is assigned: as in stands.
func (l *live) ready(want string) {
	l.Helper()
	var told fleet.Condition
	defer func() {
		if l.Failed() {
			l.Logf("Ready is %q", words(told))
		}
	}()
	l.until("Ready is "+want, func() bool {
		told = l.report().Ready
		return l.matches(told, want)
	})
}

// stands compares all conditions but Ready that stand: "Type=Status Reason: message", in which "…" is any text.
func (l *live) stands(want ...string) {
	l.Helper()
	s := l.status()
	conditions := map[string]fleet.Condition{
		"Released": s.Released, "TestSuccess": s.TestSuccess, "Remediated": s.Remediated, "Drifted": s.Drifted, "Stalled": s.Stalled,
	}
	for _, w := range want {
		name, rest, _ := strings.Cut(w, "=")
		if !l.matches(conditions[name], rest) {
			l.Errorf("%s is %q, want %q", name, words(conditions[name]), rest)
		}
		delete(conditions, name)
	}
	for name, c := range conditions {
		if c.Status != "" {
			l.Errorf("%s stands: %q", name, words(c))
		}
	}
}

// matches compares a condition with "Status Reason: message", in which NS is the App's namespace, and "…" any text.
func (l *live) matches(c fleet.Condition, want string) bool {
	start, end, open := strings.Cut(strings.ReplaceAll(want, "NS", l.namespace), "…")
	if !open {
		return words(c) == start
	}
	return strings.HasPrefix(words(c), start) && strings.HasSuffix(words(c), end)
}

func words(c fleet.Condition) string { return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message) }

// Handle implements slog.Handler: the engine says each step of a pass.
func (l *live) Handle(_ context.Context, record slog.Record) error {
	said := map[string]string{}
	line := record.Message
	record.Attrs(func(a slog.Attr) bool {
		said[a.Key] = a.Value.String()
		line += fmt.Sprintf(" %s=%q", a.Key, a.Value)
		return true
	})
	l.mine.Lock()
	defer l.mine.Unlock()
	fmt.Fprintln(l.Output(), record.Time.Format("05.000"), line)
	if record.Message != "release" || said["state"] == "" {
		return nil
	}
	step := said["state"]
	if said["action"] != "" {
		step += ":" + said["action"]
	} else if n := len(l.steps); n > 0 && l.steps[n-1] == step {
		return nil // it was looked at once more
	}
	l.steps = append(l.steps, step)
	return nil
}

func (l *live) Enabled(context.Context, slog.Level) bool { return true }
func (l *live) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *live) WithGroup(string) slog.Handler            { return l }

// Load, Save and Remove implement worker.Records.
func (l *live) Load(name string, into any) bool {
	l.mine.Lock()
	defer l.mine.Unlock()
	return l.records[name] != nil && json.Unmarshal(l.records[name], into) == nil
}

func (l *live) Save(name string, value any) bool {
	data, err := json.Marshal(value)
	if err != nil {
		l.Error(err)
	}
	l.mine.Lock()
	defer l.mine.Unlock()
	l.records[name] = data
	return true
}

func (l *live) Remove(name string) {
	l.mine.Lock()
	defer l.mine.Unlock()
	delete(l.records, name)
}

// shelf has what was ever assigned.
type shelf struct{ *live }

func (s shelf) Blob(digest fleet.Digest) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if blob, has := s.blobs[digest]; has {
		return slices.Clone(blob), nil
	}
	return nil, fleet.ErrNotFound
}

func (s shelf) Has(digest fleet.Digest) bool {
	_, err := s.Blob(digest)
	return err == nil
}

func (s shelf) Put(map[fleet.Digest][]byte) error { return nil }
func (s shelf) Pin(string, []fleet.Digest)        {}
func (s shelf) Unpin(string)                      {}

// releases is the engine as the spoke gives it to its workers.
type releases struct{ *helm.Engine }

func (r releases) Ready(ctx context.Context, _ fleet.Key) error { return r.Engine.Ready(ctx) }

func (r releases) Deploy(ctx context.Context, t worker.Target) error {
	return explained(r.Engine.Deploy(ctx, helm.Target{
		App: t.App, Release: t.Release, Manifest: t.Manifest, Binding: t.Binding, Controls: t.Controls, Verify: t.Verify,
	}))
}

func (r releases) Remove(ctx context.Context, removal worker.Removal) (bool, error) {
	done, err := r.Engine.Remove(ctx, helm.Removal{App: removal.App, Tombstone: removal.Tombstone, Controls: removal.Controls})
	return done, explained(err)
}

func (r releases) Status(app fleet.Key) worker.Status {
	s := r.Engine.Status(app)
	return worker.Status{
		Objects: s.Objects, Healthy: s.Healthy, Failed: s.Failed, Applied: s.Applied, Bound: s.Bound, Wakes: s.Wakes,
		ManagedByFlux: s.ManagedByFlux, Ready: s.Ready, Detail: s.Detail,
	}
}

func (r releases) AppliedBlobs(fleet.Key) []fleet.Digest { return nil }

func explained(err error) error {
	if told := (*helm.Failure)(nil); errors.As(err, &told) {
		return &worker.Failure{Err: told.Err, Reason: told.Reason, Transient: told.Transient, Terminal: told.Terminal, RetryAfter: told.RetryAfter}
	}
	return err
}
