package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

// errMet ends a follow whose goal is reached, errNotYet one that was to look once.
var (
	errMet    = errors.New("met")
	errNotYet = errors.New("not yet")
)

// await waits for one goal, and what comes after it, and returns the object as it was then.
func (a *app) await(ctx context.Context, h *hub, g goal) (*object, error) {
	found, err := a.awaitOne(ctx, h, g)
	if err != nil || g.then == nil {
		return found, err
	}
	return a.await(ctx, h, *g.then)
}

func (a *app) awaitOne(ctx context.Context, h *hub, g goal) (*object, error) {
	w := &awaiting{app: a, ctx: ctx, goal: g, objects: map[string]*object{}}
	if err := a.mustExist(ctx, h, g); err != nil {
		return nil, err
	}
	q := queryOf(g.ref)
	if g.least.count > 0 {
		q.cluster = everyCluster
	}
	err := a.follow(ctx, h, q, w)
	switch {
	case errors.Is(err, errMet):
		return w.one(), nil
	case status.Code(err) == codes.NotFound && g.absent(): // so is the cluster it was in
		return nil, nil
	case errors.Is(err, errNotYet), errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return nil, a.tooLate(h, g, w)
	}
	return nil, err
}

// mustExist refuses to wait for what nobody declared. An instance may come later than its App: it is made from it.
func (a *app) mustExist(ctx context.Context, h *hub, g goal) error {
	if g.absent() {
		return nil
	}
	r := g.ref
	r.cluster = ""
	_, err := h.get(ctx, r)
	if status.Code(err) == codes.NotFound && g.ref.cluster != "" {
		_, err = h.get(ctx, g.ref) // an instance whose App is known to its spoke alone
	}
	return err
}

// awaiting is a follower that ends when its goal is reached or lost.
type awaiting struct {
	app     *app
	ctx     context.Context
	goal    goal
	objects map[string]*object
	said    string
}

func (w *awaiting) listed(objects []*object) error {
	for _, o := range objects {
		w.objects[o.key()] = o
	}
	return w.look()
}

func (w *awaiting) changed(o *object, deleted bool) error {
	if deleted {
		delete(w.objects, o.key())
	} else {
		w.objects[o.key()] = o
	}
	return w.look()
}

// look judges what is there now.
func (w *awaiting) look() error {
	v, why, err := w.verdict(w.ctx)
	switch {
	case err != nil:
		return err
	case v == met:
		return errMet
	case v == lost:
		f := &failure{
			code: w.lostCode(), what: w.goal.ref.String() + " will not " + w.goal.text() + " as it is", why: why,
			next: "fleetctl describe " + w.goal.ref.command(),
		}
		if f.code == exitPerson {
			f.what = w.goal.ref.String() + " will not " + w.goal.text() + " before a person acts"
			f.next = "fleetctl rollout status " + w.goal.ref.command()
		}
		return f
	case w.app.looksOnce():
		return errNotYet
	case w.said == "":
		w.app.say(symbolWait, "waiting for %s to %s: %s", w.goal.ref, w.goal.text(), why)
	case why != w.said:
		w.app.say(symbolWait, "%s: %s", w.goal.ref, why)
	}
	w.said = why
	return nil
}

func (w *awaiting) verdict(ctx context.Context) (verdict, string, error) {
	switch {
	case w.goal.ref.cluster == everyCluster && len(w.objects) > 0:
		instances := slices.SortedFunc(maps.Values(w.objects), func(a, b *object) int { return strings.Compare(a.ref().cluster, b.ref().cluster) })
		var clusters []string
		for _, o := range instances {
			clusters = append(clusters, o.ref().cluster)
		}
		return pending, "is still" + inClustersText(clusters) + ": " + readiness(instances[0]), nil
	case w.goal.least.count == 0:
		return w.goal.judge(ctx, w.one())
	}
	ready, failed := 0, 0
	var reasons []string
	for _, o := range w.objects {
		v, why, err := w.goal.judge(ctx, o)
		switch {
		case err != nil:
			return pending, "", err
		case v == met:
			ready++
		case v == lost:
			failed++
			reasons = append(reasons, o.ref().cluster+": "+why)
		}
	}
	total := len(w.objects)
	enough := w.goal.least.of(total)
	text := fmt.Sprintf("%d of %s, %d are enough", ready, count(total, "cluster"), enough)
	switch {
	case enough > 0 && ready >= enough:
		return met, "", nil
	case failed > 0 && total-failed < enough:
		return lost, strings.Join(append([]string{text}, reasons...), "\n"), nil
	}
	return pending, text, nil
}

// lostCode tells an App that failed in some clusters and is ready in others, and one for which a person has to act first, from one
// that failed for good.
func (w *awaiting) lostCode() exitCode {
	o := w.one()
	if o == nil || w.goal.least.count > 0 || stalled(o) || o.suspended() {
		return exitFailed
	}
	if awaitsPerson(o) {
		return exitPerson
	}
	if s := o.Status.Fleet; s.Ready > 0 && s.Failed > 0 {
		return exitPartial
	}
	return exitFailed
}

// one is the object waited for, or nil while it is not there.
func (w *awaiting) one() *object {
	for _, o := range w.objects {
		if o.Metadata.Name == w.goal.ref.name {
			return o
		}
	}
	return nil
}

// judge is met when every expectation is, and lost when one is.
func (g goal) judge(ctx context.Context, o *object) (verdict, string, error) {
	result := met
	var reasons []string
	for _, e := range g.expect {
		v, why, err := e.judge(ctx, o)
		if err != nil || v == lost {
			return v, why, err
		}
		if v == pending {
			result = pending
			reasons = append(reasons, why)
		}
	}
	return result, strings.Join(reasons, "; "), nil
}

// absent reports whether the object's not being there is waited for.
func (g goal) absent() bool {
	return slices.ContainsFunc(g.expect, func(e expectation) bool { return e.absence })
}

func (g goal) text() string {
	var texts []string
	for _, e := range g.expect {
		texts = append(texts, e.text)
	}
	return strings.Join(texts, " and ")
}

// tooLate tells which clusters are missing, and why.
func (a *app) tooLate(h *hub, g goal, w *awaiting) error {
	f := &failure{
		code: exitTimeout, what: fmt.Sprintf("timed out after %s waiting for %s to %s", a.waited(), g.ref, g.text()),
		next: "fleetctl describe " + g.ref.command(),
	}
	if g.ref.cluster == everyCluster {
		everywhere := g.ref
		everywhere.cluster = ""
		f.next = "fleetctl get " + everywhere.command() + " -c '*'"
	}
	if a.looksOnce() {
		f.what = fmt.Sprintf("not yet: %s should %s", g.ref, g.text())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, f.why, _ = w.verdict(ctx) // what cannot be told now is left out
	if g.ref.kind.App && g.ref.cluster == "" {
		if missing := a.missingClusters(ctx, h, g); missing != "" {
			f.why += "\n" + missing
		}
	}
	return f
}

func (a *app) waited() time.Duration {
	if a.given["timeout"] {
		return a.flags.timeout
	}
	return followTimeout
}

// maxMissing bounds the clusters that are told one by one.
const maxMissing = 10

// missingClusters is a line for each cluster that does not meet the goal.
func (a *app) missingClusters(ctx context.Context, h *hub, g goal) string {
	q := queryOf(g.ref)
	q.cluster = everyCluster
	instances, _, err := h.list(ctx, q)
	if err != nil {
		return ""
	}
	var lines []string
	for _, o := range instances {
		v, why, err := g.judge(ctx, o)
		if err == nil && v != met && !o.current() && o.is("Ready") { // which says nothing of what it is to run
			why = "is at " + printer.Revision(orNothing(o.revision())) + ", and not told of the newest yet"
		}
		if err == nil && v != met {
			lines = append(lines, o.ref().cluster+": "+why)
		}
	}
	if more := len(lines) - maxMissing; more > 0 {
		lines = append(lines[:maxMissing], "and "+count(more, "more cluster"))
	}
	return strings.Join(lines, "\n")
}
