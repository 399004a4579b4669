package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
)

func newWaitCommand(a *app) *cobra.Command {
	var conditions []string
	var least string
	cmd := &cobra.Command{
		Use:   "wait KIND/NAME[@CLUSTER]...",
		Short: "Wait until objects are as they should be",
		Long: "Wait until objects are as they should be. It looks first and returns at once when they are; it fails at once when\n" +
			"they never will be (exit 7) or a person has to act first, as where a rollout is paused (exit 9), and says after\n" +
			"--timeout (default 5m) which clusters are missing and why (exit 6). --timeout 0 looks once.",
		Example: `  fleetctl wait ks/podinfo --for=ready
  fleetctl wait ks/podinfo --for=revision=696f056d --for=ready --timeout 10m
  fleetctl wait ks/podinfo --for=ready --min-clusters 90%
  fleetctl wait cluster/eu-1 --for=connected`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.parseRefs(cmd, args)
			if err != nil {
				return err
			}
			goals, err := parseGoals(cmd, refs, conditions, least)
			if err != nil {
				return err
			}
			return a.runWait(cmd.Context(), goals)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	cmd.Flags().StringArrayVar(&conditions, "for", []string{"ready"}, "ready, revision=SHA, condition=TYPE[=STATUS], delete or connected; several must all hold")
	cmd.Flags().StringVar(&least, "min-clusters", "", "an app: so many clusters, or so many percent, are enough")
	return cmd
}

// goal is what one object is waited for to be.
type goal struct {
	ref    ref
	expect []expectation
	least  minimum
	// then is waited for once this is reached; nil: nothing is. What is told at the end is this one's name.
	then *goal
}

// minimum is how many of an App's clusters must meet the expectations; the zero minimum asks the App itself.
type minimum struct {
	count   int
	percent bool
}

// of is the number of clusters that are enough of total; 0: it cannot be told yet.
func (m minimum) of(total int) int {
	if m.percent {
		return (total*m.count + 99) / 100
	}
	return m.count
}

func parseGoals(cmd *cobra.Command, refs []ref, conditions []string, least string) ([]goal, error) {
	var expect []expectation
	for _, text := range conditions {
		e, err := parseExpectation(cmd, text)
		if err != nil {
			return nil, err
		}
		expect = append(expect, e)
	}
	limit, err := parseMinimum(cmd, least)
	if err != nil {
		return nil, err
	}
	var goals []goal
	for _, r := range refs {
		switch {
		case r.cluster == everyCluster:
			return nil, usagef(cmd, "%s: leave @* out; --min-clusters counts clusters", r)
		case limit.count > 0 && (!r.kind.App || r.cluster != ""):
			return nil, usagef(cmd, "--min-clusters is for apps of the whole fleet, and %s is none", r)
		case limit.count > 0 && len(expect) == 1 && expect[0].absence:
			return nil, usagef(cmd, "--min-clusters does not go with --for=delete")
		}
		for _, e := range expect {
			if e.text == expectConnected().text && r.kind.Name != resource.Cluster.Name && r.cluster == "" && limit.count == 0 {
				return nil, usagef(cmd, "--for=connected is for clusters, and %s is none", r)
			}
		}
		goals = append(goals, goal{ref: r, expect: expect, least: limit})
	}
	return goals, nil
}

func parseMinimum(cmd *cobra.Command, text string) (minimum, error) {
	if text == "" {
		return minimum{}, nil
	}
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || percent && n > 100 {
		return minimum{}, usagef(cmd, "--min-clusters %q is not a number from 1 or a percentage such as 90%%", text)
	}
	return minimum{count: n, percent: percent}, nil
}

func (a *app) runWait(ctx context.Context, goals []goal) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	found, err := a.waitFor(ctx, h, goals)
	if err != nil {
		return err
	}
	return a.printMet(goals, found)
}

// waitAfter waits for what comes of a change. A person is told of the change at once and of its end later; a program,
// which reads one document and each name once, is told at the end, whatever came of the wait. tell is given the objects
// that the wait has found.
func (a *app) waitAfter(ctx context.Context, h *hub, goals []goal, tell func(found []*object) error) error {
	atEnd := a.machine() || a.flags.output == "name"
	if !atEnd {
		if err := tell(nil); err != nil {
			return err
		}
	}
	found, err := a.waitFor(ctx, h, goals)
	switch {
	case atEnd:
		return errors.Join(err, tell(found))
	case err != nil:
		return err
	}
	return a.printMet(goals, found)
}

// waitFor waits until every goal is reached, and returns the objects as they were then, those that are there. The first
// goal that is lost ends it.
func (a *app) waitFor(ctx context.Context, h *hub, goals []goal) ([]*object, error) {
	ctx, cancel := a.waitBound(ctx)
	defer cancel()
	type result struct {
		i     int
		found *object
		err   error
	}
	results := make(chan result)
	for i, g := range goals {
		go func() {
			found, err := a.await(ctx, h, g)
			results <- result{i, found, err}
		}()
	}
	reached := make([]*object, len(goals))
	failures := make([]error, len(goals))
	for range goals {
		r := <-results
		reached[r.i], failures[r.i] = r.found, r.err
		if r.err != nil && !errors.Is(r.err, context.DeadlineExceeded) {
			cancel()
		}
	}
	found := slices.DeleteFunc(reached, func(o *object) bool { return o == nil })
	for i, err := range failures { // what failed by itself comes before what was cancelled for it
		if err != nil && !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
			return found, a.explain("wait for "+goals[i].ref.String(), err)
		}
	}
	return found, errors.Join(failures...)
}

// waitBound is --timeout; where that is 0, the one look is bounded like any answer.
func (a *app) waitBound(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.looksOnce() {
		return context.WithTimeout(ctx, callTimeout)
	}
	return a.bounded(ctx, followTimeout)
}

// looksOnce reports whether --timeout 0 was given.
func (a *app) looksOnce() bool { return a.given["timeout"] && a.flags.timeout <= 0 }

func (a *app) printMet(goals []goal, found []*object) error {
	if !a.machine() {
		for _, g := range goals {
			line := g.ref.typed() + " condition met"
			if a.flags.output == "name" {
				line = g.ref.typed()
			}
			if _, err := fmt.Fprintln(a.stdout, line); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := a.emit(document(found, len(goals) == 1))
	return err
}
