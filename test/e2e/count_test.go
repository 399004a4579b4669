package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// rise is how much a metric of a program has grown since a moment.
type rise struct {
	program *lab.Program
	name    string
	labels  []string
	from    float64
}

// count begins to count a metric.
func (a *app) count(p *lab.Program, name string, labels ...string) rise {
	a.t.Helper()
	return rise{program: p, name: name, labels: labels, from: a.metric(p, name, labels...)}
}

// rose waits until a metric has risen that much, since what it counts may be seen before it is counted; more is an error.
func (a *app) rose(r rise, want float64) {
	a.t.Helper()
	lab.Eventually(a.t, patience, fmt.Sprintf("%s of %s rises by %v", r.name, r.program.Name(), want), func() error {
		value, err := r.program.Metric(a.t.Context(), r.name, r.labels...)
		switch got := value - r.from; {
		case err != nil:
			return err
		case got < want:
			return fmt.Errorf("by %v so far", got)
		case got > want:
			a.t.Errorf("%s%v of %s rose by %v, want %v", r.name, r.labels, r.program.Name(), got, want)
		}
		return nil
	})
}

func (a *app) metric(p *lab.Program, name string, labels ...string) float64 {
	a.t.Helper()
	value, err := p.Metric(a.t.Context(), name, labels...)
	if err != nil {
		a.t.Fatal(err)
	}
	return value
}

// tape has what a cluster's API server was asked since a moment.
type tape struct {
	a    *app
	m    *lab.Member
	from int
}

// record begins a tape.
func (a *app) record(m *lab.Member) tape {
	a.t.Helper()
	return tape{a: a, m: m, from: len(a.requests(m))}
}

func (a *app) requests(m *lab.Member) lab.Requests {
	a.t.Helper()
	all, err := m.Requests(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return all
}

// writes are the spoke's writes of objects of the app, dry runs included.
func (t tape) writes() lab.Requests {
	t.a.t.Helper()
	return t.a.requests(t.m)[t.from:].Where(func(r lab.Request) bool { return isWrite(r) && t.a.owns(r) })
}

// deletes are the objects of the app that the spoke had deleted, as resource/name, in order of their names.
func (t tape) deletes() []string {
	t.a.t.Helper()
	var names []string
	for _, r := range t.writes() {
		if strings.HasPrefix(r.Verb, "delete") && !r.DryRun && r.Code < 300 {
			names = append(names, r.Resource+"/"+r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// owns reports whether a request is about the app's namespace or what is in it.
func (a *app) owns(r lab.Request) bool { return r.Namespace == a.namespace || r.Name == a.namespace }

// isWrite is a request of a spoke that is about an object of an App, rather than its own Lease, Secret or inventory.
func isWrite(r lab.Request) bool {
	switch r.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return strings.HasPrefix(r.UserAgent, "flotilla-spoke") && r.Namespace != "flotilla-system"
	}
	return false
}

// quiet returns once the API servers of the members have had no write for a second: what was to be written is.
func (a *app) quiet(members ...*lab.Member) {
	a.t.Helper()
	for _, m := range members {
		last, since := -1, time.Now()
		lab.Eventually(a.t, patience, m.Name()+" comes to rest", func() error {
			if n := len(a.requests(m).Where(isWrite)); n != last {
				last, since = n, time.Now()
			}
			if rest := time.Since(since); rest < time.Second {
				return fmt.Errorf("a write %s ago", rest)
			}
			return nil
		})
	}
}
