package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutOf waits for the Rollout of a revision to be there; nil: the App came to it without one. What one has brought may not be
// there any more: then it is returned with the error. The first look has to reach the hub: a wrong address is no hub that is away
// for a while. With through, an App that is suspended is waited for, too.
func (a *app) rolloutOf(ctx context.Context, h *hub, app ref, revision string, through bool) (*adminv1.Rollout, error) {
	doing := "wait for a rollout of " + app.String()
	said := ""
	var away error
	for first := true; ; first = false {
		found, err := h.seekRollout(ctx, app, revision, through)
		switch {
		case err == nil && found.lost != nil:
			return found.rollout, found.lost
		case err == nil && found.came:
			return nil, a.printCame(app, revision)
		case err == nil && found.rollout != nil:
			return found.rollout, nil
		case err == nil:
			if found.state != said && !a.looksOnce() {
				a.say(symbolWait, "waiting for a rollout of %s to %s: %s", app, revision, found.state)
			}
			said, away = found.state, nil
		case ctx.Err() != nil: // its end is seen below
		case first || !passing(err):
			return nil, a.planFailure(doing, app, err)
		default:
			if away == nil {
				a.say(symbolWarn, "the connection to the hub is lost; trying again until it is back")
			}
			away = err
		}
		if ctx.Err() == nil && !a.looksOnce() {
			_ = a.pause(ctx, statusPeriod)
		}
		switch ended := ctx.Err(); {
		case ended == nil && !a.looksOnce():
		case ended != nil && !isTimeout(ended):
			return nil, errors.Join(ended, errReading)
		case first && err != nil:
			return nil, a.planFailure(doing, app, err)
		case away != nil:
			return nil, a.planFailure(doing, app, away)
		default:
			return nil, &failure{
				code: exitTimeout, what: fmt.Sprintf("no rollout of %s to %s has begun", app, revision), why: said, next: "fleetctl describe " + app.command(),
			}
		}
	}
}

// sought is what a look for the Rollout of a revision finds.
type sought struct {
	// rollout of the revision; nil: there is none yet.
	rollout *adminv1.Rollout
	// came: the App is at the revision, and needed none.
	came bool
	// lost: no Rollout of it will come, or what one has brought is not there any more.
	lost *failure
	// state is what the App is at, where nothing else is to say.
	state string
}

// seekRollout looks for the newest Rollout to the Release that a revision has come to. With through, that the App is suspended
// loses nothing.
func (h *hub) seekRollout(ctx context.Context, app ref, revision string, through bool) (sought, error) {
	release, newest, err := h.releaseAt(ctx, app, revision)
	if err != nil {
		return sought{}, err
	}
	o, err := h.get(ctx, app)
	if err != nil {
		return sought{}, err
	}
	if release == "" && !mayBeRevision(o, revision) {
		return sought{lost: noRevision(o, revision)}, nil
	}
	ro, since, err := h.newestTo(ctx, app, release)
	if err != nil {
		return sought{}, err
	}
	// Until the hub has taken a newest Release up, what an older Rollout did with it says nothing.
	settled := o.current() && slices.Contains(givenUp, o.condition("Ready").Reason) && o.Status.LastAttemptedRevision == newest.GetRevision()
	switch {
	case ro != nil && ro.GetPhase() != phaseSucceeded, ro != nil && since == nil:
		return sought{rollout: ro}, nil
	case atRevision(o.revision(), revision) && o.arrived() && o.is("Ready"):
		return sought{came: true}, nil
	case ro != nil && (newest.GetRelease() != release || settled):
		return sought{rollout: ro, lost: leftBehind(app, revision, ro, since)}, nil
	case o.suspended() && !through:
		return sought{lost: &failure{
			code: exitPerson, what: fmt.Sprintf("no rollout of %s to %s begins before a person resumes it", app, revision), why: standstill(o),
			next: "fleetctl resume " + app.command(),
		}}, nil
	case !o.suspended() && stalled(o) && atRevision(o.Status.LastAttemptedRevision, revision):
		return sought{lost: &failure{
			code: exitFailed, what: fmt.Sprintf("no rollout of %s to %s will begin", app, revision), why: standstill(o), next: "fleetctl describe " + app.command(),
		}}, nil
	}
	lost, err := h.missingPolicy(ctx, app)
	return sought{lost: lost, state: "at " + orNothing(o.revision()) + ": " + readiness(o)}, err
}

// What atRevision finds: a hash from its first 7 digits on, a revision that ends with one, and the version of a chart.
var (
	hashBegins = regexp.MustCompile(`^(sha1:)?(sha256:)?[0-9a-f]{7,}$`)
	hashEnds   = regexp.MustCompile(`:[0-9a-f]{7,}$`)
	version    = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+){0,2}([-+].*)?$`)
)

// mayBeRevision reports whether an App can ever come to what a person takes for its revision. What is pushed may be called
// anything.
func mayBeRevision(o *object, text string) bool {
	switch sourceKind(o) {
	case resource.GitRepository.Name, resource.OCIRepository.Name, resource.Bucket.Name:
		return hashBegins.MatchString(text) || hashEnds.MatchString(text)
	case resource.HelmChart.Name:
		return hashBegins.MatchString(text) || version.MatchString(text)
	}
	return !strings.ContainsFunc(text, unicode.IsSpace)
}

// noRevision says what a revision of an App looks like.
func noRevision(o *object, text string) *failure {
	looks := "is one word, as it was pushed"
	switch kind := sourceKind(o); kind {
	case resource.GitRepository.Name:
		looks = "of its " + kind + " is such as main@sha1:<40 hex digits>"
	case resource.OCIRepository.Name:
		looks = "of its " + kind + " is such as 6.5.0@sha256:<64 hex digits>"
	case resource.Bucket.Name:
		looks = "of its " + kind + " is sha256:<64 hex digits>"
	case resource.HelmChart.Name:
		looks = "is the version of its chart, such as 6.5.0"
	}
	return &failure{
		code: exitUsage, what: fmt.Sprintf("%q will never be a revision of %s", text, o.ref()),
		why:  "one " + looks + ": give all of it, its hash, or the first 7 digits or more of that",
		next: `--revision "$(git rev-parse HEAD)" of what was pushed, or one that fleetctl history ` + o.ref().command() + " lists",
	}
}

// sourceKind is the kind of Source that an App is built from; empty: it is not known here.
func sourceKind(o *object) string {
	spec, err := flux.DecodeApp(o.Kind, o.Spec)
	if err != nil {
		return "" // the hub validated it; a newer one may have other kinds
	}
	return spec.Source(o.Metadata.Namespace, o.Metadata.Name).Kind
}

// refuseEmpty refuses a flag that is given and empty, as of a script whose command failed: it does not mean what leaving it
// out does.
func refuseEmpty(cmd *cobra.Command, name, otherwise string) error {
	if flag := cmd.Flags().Lookup(name); flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
		return usagef(cmd, "--%s is empty: a revision is such as main@sha1:<40 hex digits>, its hash, or the first 7 digits or more of that; leave --%s out for %s",
			name, name, otherwise)
	}
	return nil
}

// givenUp are the reasons of an App whose newest Release goes nowhere by itself.
var givenUp = []string{"ReleaseIsBad", "ReleaseTakenBack"}

// releaseAt is the Release that a revision has come to, empty: none yet, and what the App has come to last.
func (h *hub) releaseAt(ctx context.Context, app ref, revision string) (release string, newest *adminv1.HistoryEntry, err error) {
	response, err := h.apps.History(ctx, &adminv1.HistoryRequest{Kind: app.kind.Name, Namespace: app.namespace, Name: app.name})
	for _, e := range response.GetEntries() { // the newest first
		if release == "" && (atRevision(e.GetRevision(), revision) || atRevision(e.GetRelease(), revision)) {
			release = e.GetRelease()
		}
		if e.GetCurrent() {
			newest = e
		}
	}
	return release, newest, err
}

// newestTo is the newest Rollout to a Release, and the newest one after it that has taken clusters elsewhere; nil: there is
// none. One that was rolled back has brought them home, and one that never began has moved none.
func (h *hub) newestTo(ctx context.Context, app ref, release string) (found, since *adminv1.Rollout, err error) {
	if release == "" {
		return nil, nil, nil
	}
	_, _, err = h.rolloutList(ctx, listOf(app), 1, func(ro *adminv1.Rollout) bool {
		switch {
		case found != nil: // older ones do not matter
			return true
		case ro.GetTarget() == release:
			found = ro
			return true
		case since == nil && ro.GetStarted() != nil && ro.GetPhase() != phaseRolledBack:
			since = ro
		}
		return false
	})
	return found, since, err
}

// leftBehind says that the clusters do not run what a Rollout has brought any more.
func leftBehind(app ref, revision string, ro, since *adminv1.Rollout) *failure {
	return &failure{
		code: exitFailed, what: fmt.Sprintf("%s is not at %s any more: %s brought it, and %s to %s came after it", app, revision, ro.GetId(), since.GetId(), releaseText(since)),
		why: summary(since), next: "fleetctl rollout history " + app.command(),
	}
}

// missingPolicy is the failure of an App whose Placement names a RolloutPolicy that is not declared: no Rollout begins until
// somebody declares it. nil: it is, or none is named.
func (h *hub) missingPolicy(ctx context.Context, app ref) (*failure, error) {
	placements, _, err := h.list(ctx, query{kind: resource.Placement, namespace: app.namespace})
	if err != nil {
		return nil, err
	}
	for _, o := range placements {
		named := slices.ContainsFunc(placementOf(o).Apps, func(placed fleet.AppRef) bool { return placed.Kind == app.kind.Name && placed.Name == app.name })
		if ready := o.condition("Ready"); named && o.current() && ready.Reason == "RolloutPolicyNotFound" {
			return &failure{
				code: exitPerson, what: fmt.Sprintf("no rollout of %s begins before a person declares its policy", app), why: ready.Message,
				next: "fleetctl apply -f with the RolloutPolicy, or fleetctl describe " + o.ref().command(),
			}, nil
		}
	}
	return nil, nil
}

// listOf selects the Rollouts of an App.
func listOf(app ref) *adminv1.ListRolloutsRequest {
	return &adminv1.ListRolloutsRequest{Kind: app.kind.Name, Namespace: app.namespace, Name: app.name}
}

// printCame tells of an App that came to a revision without a Rollout.
func (a *app) printCame(app ref, revision string) error {
	a.say(symbolDone, "%s is at %s: its release is the one before, and no rollout was needed", app, revision)
	if a.machine() {
		_, err := a.emit(app.document())
		return err
	}
	return a.printRefs([]ref{app}, "condition met")
}
