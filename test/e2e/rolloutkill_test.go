package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Of 20 kills, which take a minute and a half, each came to the same end when this was written.
var (
	rolloutKills = flag.Int("rolloutkills", 4, "kill the hub that many times at random moments of a Rollout")
	rolloutSeed  = flag.Uint64("rolloutseed", 0, "kill it at the random moments of this seed; 0: of another one each time")
)

// A hub that is killed at a random moment of a Rollout, and started again, brings it to the end that it comes to
// undisturbed: each second one is of a commit that the clusters refuse, and is taken back.
func (a *app) hubIsKilled() {
	a.policy("eventful", canaryFirst+"  cluster: {progressDeadline: 2m}\n  onFailure: {action: Rollback}\n")
	good, bad := a.web("good", ""), a.web("bad", "")
	bad["deploy/web.yaml"] = strings.Replace(bad["deploy/web.yaml"], "replicas: 1", "replicas: none", 1)
	a.rolls(good)
	a.succeeds("")
	want, took := map[bool]string{}, map[bool]time.Duration{}
	version := 0
	run := func(isBad bool, meanwhile func()) string {
		version++
		files := a.web(fmt.Sprint("good-", version), "")
		if isBad {
			files["deploy/web.yaml"] = bad["deploy/web.yaml"]
		}
		began := time.Now()
		commit := a.rolls(files)
		if meanwhile != nil {
			meanwhile()
		}
		a.over(commit)
		if meanwhile == nil {
			took[isBad] = time.Since(began)
		}
		return a.endState(version)
	}
	for _, isBad := range []bool{false, true} {
		want[isBad] = run(isBad, nil)
	}
	seed := *rolloutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	random := rand.New(rand.NewPCG(seed, 0))
	a.t.Logf("-rolloutseed=%d; undisturbed they take %v and end as\n%s\n%s", seed, took, want[false], want[true])
	for n := range *rolloutKills {
		isBad := n%2 == 1
		moment := time.Duration(random.Int64N(int64(took[isBad])))
		got := run(isBad, func() {
			<-time.After(moment)
			a.fleet.Hub.Kill()
			if err := a.fleet.Hub.Start(a.t.Context()); err != nil {
				a.t.Fatal(err)
			}
		})
		if got != want[isBad] {
			a.t.Errorf("with a hub killed after %s, a Rollout ends as\n%s\nwant\n%s", moment.Round(time.Millisecond), got, want[isBad])
		}
	}
}

// over waits until the Rollout of a commit has ended, however that is.
func (a *app) over(commit string) {
	a.t.Helper()
	out := a.fleet.Fleetctl(a.t.Context(), "rollout", "wait", "ks/app", "--revision", commit, "--timeout", patience.String(), "-n", a.namespace)
	if out.Code != 0 && out.Code != 7 {
		a.t.Fatal(out.Err())
	}
	a.rollsUntil("the Rollout ends", func(r rolling) bool {
		return slices.Contains([]string{"Succeeded", "RolledBack", "RollbackFailed", "Cancelled", "Superseded"}, r.Phase)
	})
}

// endState is what a Rollout has come to, by itself and in the clusters; what is of that version is called new, and what is
// not, old.
func (a *app) endState(version int) string {
	a.t.Helper()
	r, err := a.rollout()
	if err != nil {
		a.t.Fatal(err)
	}
	text := fmt.Sprintf("%s %s %s; %+v", r.Direction, r.Phase, r.Verdict, r.Totals)
	for _, m := range a.fleet.Members {
		a.says("ks/app@"+m.Name(), "Ready", "True")
		value, err := a.value(m, "app")
		if err != nil {
			a.t.Fatal(err)
		}
		is := "old"
		if value == fmt.Sprint("good-", version) {
			is = "new"
		}
		text += fmt.Sprintf("; %s %s runs %s", m.Name(), r.cluster(m.Name()), is)
	}
	return text
}
