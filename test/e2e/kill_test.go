package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/test/lab"
)

var randomKills = flag.Int("kills", 4, "kill parts that many times more at random moments")

// Every part, and all of them, are killed at each of some moments of a commit's way; started again, all converge, and
// what the commit does not touch is not written.
func TestKilledPartsConvergeAndWriteNothingThatHadNotChanged(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, cluster("prod-1"))
	v := newVictim(t, fleet)
	for _, moment := range moments {
		for _, part := range parts {
			t.Run(part.name+" when "+moment.name, func(t *testing.T) { v.in(t).kill(part, moment) })
		}
	}
	for range *randomKills {
		part, moment := parts[rand.IntN(len(parts))], writtenObject(1+rand.IntN(changing))
		t.Run(part.name+" when "+moment.name, func(t *testing.T) { v.in(t).kill(part, moment) })
	}
	t.Run("nothing comes late", func(t *testing.T) {
		v := v.in(t)
		v.quiet(v.m)
		v.check()
	})
	t.Run("the spoke goes on without the hub", func(t *testing.T) { goOnWithoutHub(v.app.in(t), v.m) })
}

// part is what is killed, and started again.
type part struct {
	name    string
	kill    func(*victim)
	restart func(*victim) error
}

var parts = []part{
	{"the hub", func(v *victim) { v.fleet.Hub.Kill() }, func(v *victim) error { return v.fleet.Hub.Start(v.t.Context()) }},
	{"the spoke", func(v *victim) { v.m.Spoke.Kill() }, func(v *victim) error { return v.m.Spoke.Start(v.t.Context()) }},
	{"Postgres", func(v *victim) { v.fleet.Postgres.Kill() }, func(v *victim) error { return v.fleet.Postgres.Start(v.t.Context()) }},
	{"everything", func(v *victim) {
		var all sync.WaitGroup
		for _, kill := range []func(){v.fleet.Hub.Kill, v.m.Spoke.Kill, v.fleet.Postgres.Kill} {
			all.Go(kill)
		}
		all.Wait()
	}, func(v *victim) error {
		for _, start := range []func(context.Context) error{v.fleet.Postgres.Start, v.fleet.Hub.Start, v.m.Spoke.Start} {
			if err := start(v.t.Context()); err != nil {
				return err
			}
		}
		return nil
	}},
}

// moment is one of a commit's way.
type moment struct {
	name string
	// arm is called before the commit; what it returns waits for the moment.
	arm func(*victim) (await func())
}

var moments = []moment{
	{"the commit is fetched", func(v *victim) func() {
		before := v.fleet.Git.Traffic(v.namespace).Fetches
		return func() {
			lab.Eventually(v.t, patience, "the commit is fetched", func() error {
				if v.fleet.Git.Traffic(v.namespace).Fetches == before {
					return fmt.Errorf("%d fetches", before)
				}
				return nil
			})
		}
	}},
	{"the App is built", func(v *victim) func() { return v.counted("flotilla_hub_builds_total", "result=built") }},
	{"the state is sent", func(v *victim) func() { return v.counted("flotilla_hub_states_sent_total") }},
	{"the inventory is written", func(v *victim) func() {
		return v.event(v.m, "flotilla-system", 1, func(watch.Event) bool { return true })
	}},
	writtenObject(3),
	{"an object is deleted", func(v *victim) func() {
		return v.event(v.m, v.namespace, 1, func(e watch.Event) bool { return e.Type == watch.Deleted })
	}},
}

// writtenObject is the moment at which so many ConfigMaps of the commit are written.
func writtenObject(n int) moment {
	return moment{fmt.Sprintf("object %d is written", n), func(v *victim) func() {
		return v.event(v.m, v.namespace, n, func(e watch.Event) bool { return e.Type != watch.Deleted })
	}}
}

// counted waits for the next rise of a metric of the hub.
func (v *victim) counted(name string, labels ...string) func() {
	before := v.metric(v.fleet.Hub, name, labels...)
	return func() {
		lab.Eventually(v.t, patience, name+" rises", func() error {
			if now, err := v.fleet.Hub.Metric(v.t.Context(), name, labels...); err != nil || now == before {
				return fmt.Errorf("it is %v; error %v", now, err)
			}
			return nil
		})
	}
}

// event waits for so many matching changes of ConfigMaps in a namespace.
func (a *app) event(m *lab.Member, namespace string, n int, match func(watch.Event) bool) func() {
	configMaps := a.client(m).CoreV1().ConfigMaps(namespace)
	list, err := configMaps.List(a.t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	changes, err := configMaps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		cancel()
		a.t.Fatal(err)
	}
	return func() {
		defer cancel()
		defer changes.Stop()
		for seen := 0; seen < n; {
			e, open := <-changes.ResultChan()
			if !open {
				a.t.Fatalf("%d changes in %s, %d awaited", seen, namespace, n)
			}
			if match(e) {
				seen++
			}
		}
	}
}

func goOnWithoutHub(a *app, m *lab.Member) {
	fleet, want := a.fleet, map[string]string{"value": "first"}
	fleet.Hub.Kill()
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "app", want)

	m.Spoke.Kill()
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited while nobody looked"}}`)
	if err := m.Spoke.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.data(m, "app", want)
	a.delete(m, "app")
	a.data(m, "app", want)
	if err := fleet.Hub.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.settle()
	a.data(m, "app", map[string]string{"value": "second"})
}
