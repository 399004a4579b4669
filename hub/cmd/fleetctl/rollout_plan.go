package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type rolloutPlanOptions struct {
	revision, policyFile string
}

func newRolloutPlanCommand(a *app) *cobra.Command {
	var o rolloutPlanOptions
	cmd := &cobra.Command{
		Use:   "plan KIND/NAME",
		Short: "Show the rollout that would begin now, and begin nothing",
		Long: "Show the rollout that would begin now, and begin nothing: the waves with their clusters, budgets and gates, and the\n" +
			"clusters that would not get the release, and why. The digest of the plan can be given to `rollout start`, which\n" +
			"begins exactly this one or none.\n\n" +
			"The time that it takes at least is what the policy has it wait for, if every cluster that can be updated as it is\n" +
			"now gets there: soaks, pauses between measurements, minReady by the budgets, windows. How long clusters and\n" +
			"people take nobody knows.\n\n" +
			"With -f the RolloutPolicy in a file stands in for the one that is declared.",
		Example: `  fleetctl rollout plan ks/podinfo
  fleetctl rollout plan ks/podinfo --revision main@sha1:9f3c1a2b -o wide
  fleetctl rollout plan ks/podinfo -f policy.yaml`,
		Annotations: outputs("wide", "json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := refuseEmpty(cmd, "revision", "the newest release"); err != nil {
				return err
			}
			r, err := a.parseRolledApp(cmd, args)
			if err != nil {
				return err
			}
			return a.runRolloutPlan(cmd.Context(), r, o)
		},
		ValidArgsFunction: a.completeRolledApps,
	}
	cmd.Flags().StringVar(&o.revision, "revision", "", "the release to plan for: a revision, or sha256:<hex> of a release (default the newest)")
	cmd.Flags().StringVarP(&o.policyFile, "filename", "f", "", "file with a RolloutPolicy to plan with, or - for stdin")
	return cmd
}

func (a *app) runRolloutPlan(ctx context.Context, r ref, o rolloutPlanOptions) error {
	request := &adminv1.PlanRolloutRequest{App: rolloutRef{app: r}.request()}
	var err error
	if o.policyFile != "" {
		if request.Policy, err = a.readSpec(ctx, o.policyFile, resource.RolloutPolicy); err != nil {
			return err
		}
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	if request.Target, err = a.revisionOf(ctx, h, r, o.revision); err != nil {
		return err
	}
	plan, err := a.plannedRollout(ctx, h, r, request)
	if err != nil {
		return err
	}
	if written, err := a.emit(newPlanDocument(plan)); written {
		return err
	}
	if err := a.printPlan(plan); err != nil {
		return err
	}
	starter := plan.GetRollout().GetActor()
	if startedByHand(plan.GetRollout()) {
		starter = fleet.Admin
	}
	for _, line := range deadEnds(plan.GetRollout(), starter) {
		a.say(symbolWarn, "%s", line)
	}
	if o.policyFile == "" {
		return a.sayHowToBegin(ctx, h, r, request.GetTarget(), plan.GetRollout().GetPlanDigest())
	}
	return nil
}

// sayHowToBegin tells the command that begins a plan, or why none does.
func (a *app) sayHowToBegin(ctx context.Context, h *hub, r ref, target, plan string) error {
	before, err := a.get(ctx, h, rolloutRef{app: r})
	if err != nil && !(rolloutRef{app: r}).hasNone(err) {
		return a.planFailure("plan a rollout of "+r.String(), r, err)
	}
	request := &adminv1.StartRolloutRequest{App: rolloutRef{app: r}.request(), Target: target, ExpectedPlanDigest: plan}
	request.App.DryRun = true
	for {
		ctx, cancel := a.bounded(ctx, callTimeout)
		response, err := h.rollouts.StartRollout(ctx, request)
		cancel()
		switch {
		case err == nil && underWayAlready(before, response.GetRollout()):
			a.say(symbolDo, "it is under way already: fleetctl rollout status %s", before.GetId())
			return nil
		case err == nil:
			a.say(symbolDo, "to begin exactly this: fleetctl rollout start %s%s%s --expected-plan %s", r.command(), revisionFlag(target), consentFlags(request), plan)
			return nil
		case !consent(request, err):
			f := a.planFailure("start", r, err)
			var told *failure
			if errors.As(f, &told) && told.code == exitPrecondition {
				a.say(symbolWarn, "it cannot begin now: %s", strings.TrimPrefix(told.what, "start: "))
				return nil
			}
			return f
		}
	}
}

// startedByHand reports whether the policy has a Rollout wait for a person to start it.
func startedByHand(ro *adminv1.Rollout) bool {
	var policy fleet.RolloutPolicy
	_ = json.Unmarshal(ro.GetPolicy(), &policy) // as far as it is known here
	return policy.AutoStart != nil && !*policy.AutoStart
}

func revisionFlag(revision string) string {
	if revision == "" {
		return ""
	}
	return " --revision " + revision
}

// revisionOf is the Revision of an App that a person means by its hash, or the first 7 digits or more of that. Anything else
// is for the hub to understand.
func (a *app) revisionOf(ctx context.Context, h *hub, app ref, text string) (string, error) {
	if text == "" || strings.ContainsAny(text, "@:") {
		return text, nil
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.apps.History(ctx, &adminv1.HistoryRequest{Kind: app.kind.Name, Namespace: app.namespace, Name: app.name})
	if err != nil {
		return "", a.planFailure("read the history of "+app.String(), app, err)
	}
	var meant []string
	for _, e := range response.GetEntries() {
		if atRevision(e.GetRevision(), text) && !slices.Contains(meant, e.GetRevision()) {
			meant = append(meant, e.GetRevision())
		}
	}
	switch len(meant) {
	case 0:
		return text, nil
	case 1:
		return meant[0], nil
	}
	return "", &failure{code: exitUsage, what: fmt.Sprintf("%s begins several revisions of %s", text, app), why: strings.Join(meant, "\n"), next: "one of these in full"}
}

// readSpec reads the spec of the one object in a file, which is of that kind, and checks it as the hub will.
func (a *app) readSpec(ctx context.Context, file string, kind resource.Kind) (json.RawMessage, error) {
	object, err := a.readOne(ctx, file, kind)
	if err != nil {
		return nil, err
	}
	var fields struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	return fields.Spec, nil
}

// readOne reads the one object in a file, which is of that kind, and checks it as the hub will.
func (a *app) readOne(ctx context.Context, file string, kind resource.Kind) ([]byte, error) {
	manifests, wrong, err := a.readManifests(ctx, []string{file}, false)
	if err != nil {
		return nil, err
	}
	declared := a.declare(manifests, &wrong, decodeDeclared)
	switch {
	case len(wrong) > 0:
		return nil, wrong.failure("-f cannot be taken", exitUsage)
	case len(declared) != 1:
		return nil, refuse("-f %s holds %s: one %s is wanted", file, count(len(declared), "object"), kind.Name)
	case declared[0].kind.Name != kind.Name:
		return nil, refuse("-f %s holds %s, which is no %s", file, declared[0].ref, kind.Name)
	}
	return declared[0].object, nil
}

func (a *app) plannedRollout(ctx context.Context, h *hub, r ref, request *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	for tries := 1; ; tries++ {
		plan, err := h.wholePlan(ctx, request)
		switch {
		case err == nil:
			return plan, nil
		case status.Code(err) != codes.Aborted || tries == maxPlanTries:
			return nil, a.planFailure("plan a rollout of "+r.String(), r, err)
		}
	}
}

// maxPlanTries bounds how often a plan is read anew that becomes another one while it is read.
const maxPlanTries = 5

// wholePlan reads all pages of a plan.
func (h *hub) wholePlan(ctx context.Context, request *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	plan := &adminv1.PlanRolloutResponse{}
	for page, err := range pages(ctx, h.rollouts.PlanRollout, request, &request.PageToken) {
		if err != nil {
			return nil, err
		}
		plan.Rollout, plan.Least = page.GetRollout(), page.GetLeast()
		plan.Clusters = append(plan.Clusters, page.GetClusters()...)
		plan.NotTargeted = append(plan.NotTargeted, page.GetNotTargeted()...)
	}
	return plan, nil
}

// planFailure is a failure of what needs no Rollout: an App, its Placement and its policy.
func (a *app) planFailure(doing string, r ref, err error) error {
	f := *a.explain(doing, err)
	switch f.code {
	case exitNotFound:
		f.why = "the hub has no such app or release, or does not show it to you"
		f.next = "fleetctl get " + r.kind.Plural + " -A"
		if text := err.Error(); strings.Contains(text, "Release") || strings.Contains(text, "`fleetctl history`") { // the App is there
			f.why, f.next = "", "fleetctl history "+r.command()
		}
	case exitPrecondition:
		f.what, f.why = withoutConflict(f.what), ""
		f.next = "fleetctl describe " + r.command()
	}
	return &f
}

// printPlan shows a plan: what goes where, by what budgets and gates, and what is left out.
func (a *app) printPlan(plan *adminv1.PlanRolloutResponse) error {
	ro, now := plan.GetRollout(), a.now()
	out := a.stdout
	rows := [][2]string{
		{"App", appOf(ro).command()}, {"Release", releaseText(ro)}, {"Plan", ro.GetPlanDigest()},
		{"Clusters", fmt.Sprintf("%d in %s; at most %d without service at a time", ro.GetTotals().GetSize(), count(len(ro.GetWaves()), "wave"), ro.GetMaxUnavailable())},
	}
	if takes := takesText(plan); takes != "" {
		rows = append(rows, [2]string{"Takes", takes})
	}
	if now := nowText(ro); now != "" {
		rows = append(rows, [2]string{"Now", now})
	}
	if ro.GetKind() == "Backward" {
		rows = append(rows, [2]string{"Direction", "back to what was good before: one wave, no gates"})
	}
	if err := a.printRows(append(rows, policyRows(ro)...)); err != nil {
		return err
	}
	t := a.table(nil, "WAVE", "NAME", "CLUSTERS", "AT A TIME", "MAY FAIL", "NEEDED", "BEFORE", "AFTER", "AT LEAST", "WHICH")
	for i, w := range ro.GetWaves() {
		t.Add(fmt.Sprint(i+1), w.GetName(), fmt.Sprint(w.GetTotals().GetSize()), fmt.Sprint(w.GetMaxConcurrent()), fmt.Sprint(w.GetMaxFailures()),
			fmt.Sprint(w.GetMinUpdated()), gateList(w.GetBefore()), gateList(w.GetAfter()), leastText(plan, i), clustersOfWave(plan.GetClusters(), i))
	}
	if err := t.Flush(out); err != nil {
		return err
	}
	a.printNotTargeted(plan.GetNotTargeted())
	if a.flags.output != "wide" {
		return nil
	}
	return a.printRolloutClusters(ro, plan.GetClusters(), now)
}

// takesText says how long a Rollout takes at least, and whose word it waits for; empty: nothing is known of that.
func takesText(plan *adminv1.PlanRolloutResponse) string {
	var parts, approvals []string
	var least time.Duration
	for _, takes := range plan.GetLeast() {
		least += takes.AsDuration()
	}
	for _, g := range gatesOf(plan.GetRollout()) {
		if w := plan.GetRollout().GetWaves()[g.wave]; g.GetType() == string(fleet.GateApproval) && w.GetSize() > 0 {
			approvals = append(approvals, fmt.Sprintf("%s of wave %s", g.GetName(), w.GetName()))
		}
	}
	if least > 0 {
		parts = append(parts, "at least "+roughly(least))
	}
	if len(approvals) > 0 {
		parts = append(parts, "until approved: "+strings.Join(approvals, ", "))
	}
	return strings.Join(parts, ", and ")
}

// leastText is the time that a wave takes at least, which is not zero.
func leastText(plan *adminv1.PlanRolloutResponse, wave int) string {
	if wave >= len(plan.GetLeast()) || plan.GetLeast()[wave].AsDuration() == 0 {
		return ""
	}
	return roughly(plan.GetLeast()[wave].AsDuration())
}

// roughly is d, or what is a little less, as one says it.
func roughly(d time.Duration) string {
	if d >= time.Hour {
		return shortDuration(d.Truncate(time.Minute))
	}
	return shortDuration(d.Truncate(time.Second))
}

// printNotTargeted lists clusters that do not get the Release; unless all are asked for, the first ones.
func (a *app) printNotTargeted(left []*adminv1.NotTargeted) {
	if len(left) == 0 {
		return
	}
	fmt.Fprintf(a.stdout, "NOT TARGETED  %s\n", count(len(left), "cluster"))
	shown := left
	if len(left) > maxInstances && a.flags.output != "wide" {
		shown = left[:maxInstances]
	}
	for _, c := range shown {
		fmt.Fprintln(a.stdout, "  "+leftText(c))
	}
	if more := len(left) - len(shown); more > 0 {
		fmt.Fprintf(a.stdout, "  and %s: -o wide\n", count(more, "more cluster"))
	}
}

// leftText is a cluster that does not get the Release, and why.
func leftText(c *adminv1.NotTargeted) string { return c.GetCluster() + ": " + printer.Fold(c.GetWhy()) }

// nowText says what would become of a plan as of now; empty: it begins, and nothing is in its way.
func nowText(ro *adminv1.Rollout) string {
	switch why := whyText(ro); {
	case why == "":
		return ""
	case ro.GetPhase() == phaseQueued:
		return "would not begin: " + why
	case ro.GetReason() != "":
		return "would begin, and wait: " + why
	default:
		return "would begin: " + why
	}
}

// policyRows tell what the policy says of the whole Rollout.
func policyRows(ro *adminv1.Rollout) [][2]string {
	var p fleet.RolloutPolicy
	if len(ro.GetPolicy()) == 0 || json.Unmarshal(ro.GetPolicy(), &p) != nil {
		return nil // a newer hub may have what is not known here
	}
	p = p.WithDefaults()
	failure := "halt"
	if p.OnFailure.Action == fleet.RollbackOnFailure {
		failure = fmt.Sprintf("roll back (%s), %s at a time", p.OnFailure.Scope, p.OnFailure.MaxConcurrent)
	}
	var windows []string
	for _, w := range p.Windows {
		zone := w.TimeZone
		if zone == "" {
			zone = "UTC"
		}
		windows = append(windows, fmt.Sprintf("%q %s for %s", w.Cron, zone, shortDuration(w.Duration.OrZero())))
	}
	tries := "tries"
	if p.Cluster.Retries == 1 {
		tries = "try"
	}
	return [][2]string{
		{"A cluster", fmt.Sprintf("has %s, and %d more %s", shortDuration(p.Cluster.ProgressDeadline.OrZero()), p.Cluster.Retries, tries)},
		{"On failure", failure},
		{"Windows", strings.Join(windows, "; ")},
	}
}

func gateList(gates []*adminv1.RolloutGate) string {
	var parts []string
	for _, g := range gates {
		parts = append(parts, gateNeeds(g))
	}
	return strings.Join(parts, ", ")
}

// clustersOfWave names the first clusters of a planned wave, and counts those that would not be updated as they are now.
func clustersOfWave(clusters []*adminv1.RolloutCluster, wave int) string {
	var names []string
	hindered := 0
	for _, c := range clusters {
		if int(c.GetWave()) == wave {
			names = append(names, c.GetCluster())
			if c.GetWaitsFor() != "" {
				hindered++
			}
		}
	}
	text := strings.Join(names[:min(3, len(names))], " ")
	if more := len(names) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if hindered > 0 {
		text += fmt.Sprintf("; %d not now", hindered)
	}
	return text
}
