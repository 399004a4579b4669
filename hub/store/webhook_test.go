package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// called is a bundle with a GitRepository whose upstream was looked at and is due in an hour.
type called struct {
	*bundle
	upstream fleet.Digest
	source   []*resource.Object
}

func newCalled(t *testing.T) *called {
	t.Helper()
	b := newBundle(t)
	c := &called{bundle: b, upstream: fleet.DigestOf([]byte("upstream")), source: []*resource.Object{object(t, gitYAML)}}
	b.apply(gitYAML)
	b.execute(`INSERT INTO upstream (id, remote) VALUES (decode('` + strings.TrimPrefix(c.upstream.String(), "sha256:") + `', 'hex'), sha256('remote'))`)
	b.execute(`INSERT INTO source (kind, namespace, name, upstream, observed_generation) SELECT 'GitRepository', 'apps', 'app', id, 1 FROM upstream`)
	c.claim(1)
	c.look()
	b.execute(`DELETE FROM outbox`)
	return c
}

// call has a webhook make the objects due.
func (c *called) call(objects ...*resource.Object) {
	c.t.Helper()
	if err := c.CallDue(c.t.Context(), objects); err != nil {
		c.t.Fatal(err)
	}
}

// claim begins a look at what is due, which is that many upstreams.
func (c *called) claim(want int) {
	c.t.Helper()
	due, err := c.ClaimUpstreams(c.t.Context(), 10, nil)
	if err != nil || len(due) != want {
		c.t.Helper()
		c.t.Fatalf("%d upstreams are due, want %d; error %v", len(due), want, err)
	}
}

// look ends it.
func (c *called) look() {
	c.t.Helper()
	if err := c.SaveLook(c.t.Context(), c.upstream, fleet.Looked{Revision: "main@sha1:1", Tree: fleet.DigestOf([]byte("tree"))}, time.Hour); err != nil {
		c.t.Fatal(err)
	}
}

func (c *called) written() string { return c.scalar(`SELECT xmin::text FROM upstream`) }

func TestACallMakesASourceDueAtOnce(t *testing.T) {
	t.Parallel()
	c := newCalled(t)
	c.call(c.source...)
	c.claim(1)
	c.look()
	c.call(c.source...)
	c.claim(1)
	c.look()
	if handled := c.scalar(`SELECT handled_reconcile_at || coalesce(annotations ->> 'reconcile.fluxcd.io/requestedAt', '') FROM source JOIN object USING (kind, namespace, name)`); handled != "" {
		t.Errorf("a call stands for a person's request: %s", handled)
	}
}

// What is looked at now may have been read before the news were there.
func TestACallDuringALookIsLookedAtAfterIt(t *testing.T) {
	t.Parallel()
	c := newCalled(t)
	c.call(c.source...)
	c.claim(1)
	c.call(c.source...)
	c.call(c.source...)
	c.look()
	c.claim(1)
	c.look()
	c.call(c.source...)
	c.claim(1)
	c.call(c.source...)
	if err := c.Postpone(t.Context(), c.upstream, time.Hour); err != nil {
		t.Fatal(err)
	}
	c.claim(1)
	c.look()
	if due := c.scalar(`SELECT (due_at > now() + interval '50 minutes')::text FROM upstream`); due != "true" {
		t.Error("an upstream is due though no call came since the look at it began")
	}
}

func TestAThousandCallsComeToOneLook(t *testing.T) {
	t.Parallel()
	c := newCalled(t)
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			for range 50 {
				if err := c.CallDue(t.Context(), c.source); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	if rows := c.scalar(`SELECT count(*)::text FROM outbox`); rows != "1" {
		t.Errorf("a thousand calls wrote %s rows to the outbox", rows)
	}
	before := c.written()
	c.call(c.source...)
	if c.written() != before {
		t.Error("a call that says nothing new writes")
	}
	c.claim(1)
	c.look()
	c.claim(0)
}

func TestACallLeavesWhatIsSuspendedAlone(t *testing.T) {
	t.Parallel()
	c := newCalled(t)
	c.apply(ksYAML)
	for _, kind := range []string{"GitRepository", "Kustomization"} {
		if _, _, err := c.Suspend(t.Context(), admin, kind, "apps", "app", false); err != nil {
			t.Fatal(err)
		}
	}
	before := c.written()
	c.call(c.source[0], object(t, ksYAML))
	if c.written() != before {
		t.Error("a suspended Source is made due")
	}
	if app, err := c.Object(t.Context(), "Kustomization", "apps", "app"); err != nil || app.Metadata.Annotations[flux.RequestedAtAnnotation] != "" {
		t.Errorf("a suspended App is asked for: %v, %v", app.Metadata.Annotations, err)
	}
}

func TestCallsAskForAnAppOnceASecond(t *testing.T) {
	t.Parallel()
	c := newCalled(t)
	c.apply(ksYAML)
	app := object(t, ksYAML)
	second := time.Date(2026, 5, 4, 3, 2, 1, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		after time.Duration
		want  string
		asks  bool
	}{
		{0, "2026-05-04T02:02:02Z", true},
		{0, "2026-05-04T02:02:02Z", false},
		{time.Second - 1, "2026-05-04T02:02:02Z", false},
		{time.Second, "2026-05-04T02:02:03Z", true},
	} {
		c.execute(`DELETE FROM outbox`)
		if err := c.CallDueAt(t.Context(), []*resource.Object{app}, second.Add(test.after)); err != nil {
			t.Fatal(err)
		}
		stored, err := c.Object(t.Context(), "Kustomization", "apps", "app")
		if err != nil {
			t.Fatal(err)
		}
		if got := stored.Metadata.Annotations[flux.RequestedAtAnnotation]; got != test.want {
			t.Errorf("%s later, requested at %q, want %q", test.after, got, test.want)
		}
		if told := c.scalar(`SELECT (count(*) > 0)::text FROM outbox`); told != fmt.Sprint(test.asks) {
			t.Errorf("%s later, that it is asked for is told: %s, want %t", test.after, told, test.asks)
		}
	}
}

func TestLabelledAreThoseWithAllTheLabels(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	declare := func(namespace, name, labels string) {
		b.apply(strings.Replace(gitYAML, `"name":"app","namespace":"apps"`, `"name":"`+name+`","namespace":"`+namespace+`","labels":`+labels, 1))
	}
	declare("apps", "a", `{"team":"web","tier":"prod"}`)
	declare("apps", "b", `{"team":"web"}`)
	declare("apps", "c", `{}`)
	declare("other", "d", `{"team":"web","tier":"prod"}`)
	for _, test := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"team": "web"}, "a b"}, {map[string]string{"team": "web", "tier": "prod"}, "a"},
		{map[string]string{"team": "we"}, ""}, {nil, "a b c"}, {map[string]string{`te"am`: `'; DROP TABLE object --`}, ""},
	} {
		found, err := b.Labelled(t.Context(), "GitRepository", "apps", test.labels)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, o := range found {
			names = append(names, o.Metadata.Name)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.labels, got, test.want)
		}
	}
}
