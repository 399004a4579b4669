package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/test/lab"
)

var (
	helmKills = flag.Int("helmkills", 3, "kill spokes under releases that many times at random moments")
	killSeed  = flag.Uint64("killseed", 0, "kill spokes under releases at the random moments of this seed; 0: of another one each time")
)

// A spoke is killed at random moments of what Helm does in an install, an upgrade, and an upgrade that fails and is rolled back. Started again,
// it comes to where it would have come, without a person, and no attempt is counted against the release: one is all it has.
func TestKilledSpokeBringsItsReleasesToTheirEnd(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	a, _, _ := newReleases(t, fleet)
	a.says("ocirepo/web", "Ready", "True")
	v := &releases{app: a, m: fleet.Members[0], took: map[string]time.Duration{}, want: map[string]string{}}
	for _, act := range acts {
		begun, over := v.underWay(), v.over(act.actions)
		end := act.begin(v)
		begun()
		began := time.Now()
		over()
		v.took[act.name] = time.Since(began)
		end()
	}
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("-killseed=%d; unharmed, Helm is at work for %v", seed, v.took)
	caught, kills := 0, 0
	for ; kills < *helmKills || caught == 0 && kills < 10**helmKills; kills++ { // a few may all come too late
		act := acts[kills%len(acts)]
		moment := time.Duration(random.Int64N(int64(v.took[act.name])))
		t.Run(fmt.Sprintf("%s after %s", act.name, moment.Round(time.Millisecond)), func(t *testing.T) {
			if v.in(t).kill(act, moment) {
				caught++
			}
		})
	}
	t.Logf("%d of %d kills caught Helm at work", caught, kills)
	if caught == 0 {
		t.Error("no kill caught Helm at work: this shows nothing")
	}
	for name, value := range v.want { // what came later did not touch it
		if err := a.storedAs(v.m, name, value, "1.0.0"); err != nil {
			t.Errorf("in the end, release %s: %v", name, err)
		}
	}
}

// releases are those whose spoke is killed: one after the other is installed, upgraded, and upgraded to something that fails.
type releases struct {
	*app
	m *lab.Member
	// took is how long each act takes unharmed, want the value that each release has to have.
	took map[string]time.Duration
	want map[string]string
}

func (v *releases) in(t testing.TB) *releases {
	inner := *v
	inner.app = v.app.in(t)
	return &inner
}

// act is what happens to the newest release, and how many actions of Helm's that is. What begin returns waits until that has
// come to its end.
type act struct {
	name    string
	actions int
	begin   func(*releases) (end func())
}

var acts = []act{
	{"install", 1, func(v *releases) func() {
		v.want[fmt.Sprintf("web-%03d", len(v.want)+1)] = ""
		return v.declare("first", "", "Ready True")
	}},
	{"upgrade", 1, func(v *releases) func() { return v.declare("second", "", "Ready True") }},
	{"rollback", 2, func(v *releases) func() { return v.declare("third", "hook", "Remediated True RollbackSucceeded") }},
}

// declare gives the newest release a value, with which it may fail.
func (v *releases) declare(value, fail, condition string) (end func()) {
	name := fmt.Sprintf("web-%03d", len(v.want))
	if fail == "" {
		v.want[name] = value
	}
	v.apply(v.released(name, ofArtifact, fmt.Sprintf("value: %s, fail: %q", value, fail)))
	return func() { v.t.Helper(); v.stands(v.m, name, condition, v.want[name], "1.0.0") }
}

// kill kills the spoke a while after Helm began to act, and reports whether an action was under way.
func (v *releases) kill(act act, moment time.Duration) (caught bool) {
	await := v.underWay()
	end := act.begin(v)
	await()
	<-time.After(moment)
	v.m.Spoke.Kill()
	caught = v.cutShort()
	if err := v.m.Spoke.Start(v.t.Context()); err != nil {
		v.t.Fatal(err)
	}
	end()
	return caught
}

// Records of the spoke name the action that is under way.
const (
	recordsLabel = "fleet.flotilla.dev/helm-release"
	recordedAct  = `"intent":`
)

// underWay waits for the next record of an action that begins.
func (v *releases) underWay() (await func()) {
	return v.event(v.m, "flotilla-system", 1, func(e watch.Event) bool {
		record, is := e.Object.(*corev1.ConfigMap)
		return is && strings.Contains(record.Data["record"], recordedAct)
	})
}

// over waits until so many actions have ended.
func (v *releases) over(actions int) (await func()) {
	underWay := false
	return v.event(v.m, "flotilla-system", actions, func(e watch.Event) bool {
		record, is := e.Object.(*corev1.ConfigMap)
		if !is || record.Labels[recordsLabel] == "" {
			return false
		}
		was := underWay
		underWay = strings.Contains(record.Data["record"], recordedAct)
		return was && !underWay
	})
}

// cutShort reports whether an action is recorded that did not come to its end.
func (v *releases) cutShort() bool {
	v.t.Helper()
	records, err := v.client(v.m).CoreV1().ConfigMaps("flotilla-system").List(v.t.Context(), metav1.ListOptions{LabelSelector: recordsLabel})
	if err != nil {
		v.t.Fatal(err)
	}
	return slices.ContainsFunc(records.Items, func(record corev1.ConfigMap) bool {
		return strings.Contains(record.Data["record"], recordedAct)
	})
}
