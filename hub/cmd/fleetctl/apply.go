package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type applyOptions struct {
	files     []string
	recursive bool
	dryRun    bool
	wait      bool
	// firstLook: the wait for a source ends with the first look at what was declared, whatever came of it.
	firstLook bool
	confirm   confirmation
}

func newApplyCommand(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIR|-",
		Short: "Declare objects from files",
		Long: "Declare objects from YAML or JSON files, in the order in which they refer to each other.\n\n" +
			"Everything is checked before anything is stored. A change that may delete objects, or that means every\n" +
			"cluster, has to be confirmed by the number of clusters: typed, or given with --confirm.",
		Example: `  fleetctl apply -f fleet.yaml
  fleetctl apply -f ./fleet -R --dry-run
  kustomize build . | fleetctl apply -f - --wait`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.files) == 0 {
				return usagef(cmd, "-f is required")
			}
			return a.runApply(cmd.Context(), o)
		},
	}
	cmd.Flags().StringArrayVarP(&o.files, "filename", "f", nil, "file, directory, or - for stdin; may be repeated")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "R", false, "take in the directories in a directory")
	addDryRunFlag(cmd, &o.dryRun)
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until everything is ready")
	o.confirm.addFlags(cmd)
	return cmd
}

func (a *app) runApply(ctx context.Context, o applyOptions) error {
	if err := a.settings(); err != nil {
		return err
	}
	manifests, wrong, err := a.readManifests(ctx, o.files, o.recursive)
	if err != nil {
		return err
	}
	declared := a.declare(manifests, &wrong, decodeDeclared)
	if len(wrong) > 0 {
		return wrong.failure("nothing was applied", exitUsage)
	}
	if len(declared) == 0 {
		return refuse("nothing to apply: there is no object in what was given")
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	return a.applyDeclared(ctx, h, declared, o)
}

// applyDeclared asks the hub what declarations mean, has that confirmed, and stores them.
func (a *app) applyDeclared(ctx context.Context, h *hub, declared []declaration, o applyOptions) error {
	planned, err := a.planApply(ctx, h, declared)
	if err != nil {
		return err
	}
	a.warnOfMissingPolicies(ctx, h, declared)
	if o.dryRun {
		return a.showPlan(declared, planned)
	}
	if err := a.confirm(ctx, o.confirm, stakes(declared, planned)); err != nil {
		return err
	}
	stored, responses, err := a.applyAll(ctx, h, declared, planned)
	tell := func(found []*object) error {
		asFound(stored, responses, found)
		return a.printApplied(stored, responses, len(declared) == 1, false)
	}
	if err != nil || !o.wait {
		return errors.Join(err, tell(nil))
	}
	goals := readyGoals(stored)
	if o.firstLook {
		if err := a.expectLooks(ctx, h, goals, stored, responses); err != nil {
			return errors.Join(err, tell(nil))
		}
	}
	return a.waitAfter(ctx, h, goals, tell)
}

// expectLooks has the wait for sources end with the first look at them. At one that was there before that is a look that is
// asked for now: what is known of it may be from before its Secret, or what it is fetched from, was put right.
func (a *app) expectLooks(ctx context.Context, h *hub, goals []goal, stored []declaration, responses []*adminv1.ApplyResponse) error {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	for i := range goals {
		g := &goals[i]
		if g.ref.kind.Category != resource.Sources {
			continue
		}
		requestedAt := ""
		at := slices.IndexFunc(stored, func(d declaration) bool { return d.key() == g.ref.key() })
		if responses[at].GetChange() != adminv1.Change_CHANGE_CREATED {
			request := &adminv1.ReconcileRequest{Kind: g.ref.kind.Name, Namespace: g.ref.namespace, Name: g.ref.name}
			response, err := h.apps.Reconcile(ctx, request)
			if err != nil {
				return a.explain("ask for a look at "+g.ref.String(), err)
			}
			requestedAt = response.GetRequestedAt()
		}
		g.expect = []expectation{expectFirstLook(requestedAt)}
	}
	return nil
}

func (a *app) showPlan(declared []declaration, planned []*adminv1.ApplyResponse) error {
	for i, response := range planned {
		if impact := response.GetImpact(); impact.GetClusters() > 0 || impact.GetSummary() != "" || grave(impact) {
			a.say(symbolDo, "%s: %s", declared[i].ref, describeImpact(impact))
		}
	}
	return a.printApplied(declared, planned, len(declared) == 1, true)
}

// applyAll stores the declarations, in order, and returns those that it stored, whatever failed. One that the hub
// refuses now does not keep the others back.
func (a *app) applyAll(ctx context.Context, h *hub, declared []declaration, planned []*adminv1.ApplyResponse) (stored []declaration, responses []*adminv1.ApplyResponse, err error) {
	var first *failure
	var wrong problems
	clustersChanged := false
	for i, d := range declared {
		response, err := a.applyOne(ctx, h, d, planned[i], clustersChanged)
		if err != nil {
			f := a.explain("", err)
			if first == nil {
				first = f
			}
			wrong.add(d.manifest, d.long(), errors.New(f.what))
			if forTheRest(f) {
				break
			}
			continue
		}
		stored, responses = append(stored, d), append(responses, response)
		clustersChanged = clustersChanged || d.kind.Name == resource.Cluster.Name && response.GetChange() != adminv1.Change_CHANGE_UNCHANGED
	}
	if first != nil {
		err = wrong.failure(fmt.Sprintf("%d of %s were not applied", len(declared)-len(stored), count(len(declared), "object")), first.code)
	}
	return stored, responses, err
}

func (a *app) applyOne(ctx context.Context, h *hub, d declaration, planned *adminv1.ApplyResponse, clustersChanged bool) (*adminv1.ApplyResponse, error) {
	confirm, err := a.confirmed(ctx, h, d, planned, clustersChanged)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	return h.objects.Apply(ctx, &adminv1.ApplyRequest{Object: d.object, Confirm: confirm})
}

// printApplied tells what became of the declarations; single: one was given, so that it is no list.
func (a *app) printApplied(declared []declaration, responses []*adminv1.ApplyResponse, single, dryRun bool) error {
	if a.machine() {
		var items []json.RawMessage
		for _, response := range responses {
			o, err := readObject(response.GetObject())
			if err != nil {
				return err
			}
			items = append(items, o.raw)
		}
		var value any = printer.NewList(items)
		if single && len(items) == 1 {
			value = items[0]
		}
		_, err := a.emit(value)
		return err
	}
	for i, d := range declared {
		line := d.typed() + " " + done(changeWord(responses[i].GetChange()), dryRun)
		if a.flags.output == "name" {
			line = d.typed()
		}
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func changeWord(change adminv1.Change) string {
	switch change {
	case adminv1.Change_CHANGE_CREATED:
		return "created"
	case adminv1.Change_CHANGE_UNCHANGED:
		return "unchanged"
	}
	return "configured"
}

// readyGoals are what `apply --wait` waits for. A Cluster becomes ready when its spoke comes, which is not this command's
// business.
func readyGoals(declared []declaration) []goal {
	var goals []goal
	for _, d := range declared {
		if d.kind.Reconcilable() || d.kind.Name == "Placement" {
			goals = append(goals, goal{ref: d.ref, expect: []expectation{expectReady()}})
		}
	}
	return goals
}

// asFound puts objects as they were found later in the place of what the hub answered when they were stored.
func asFound(stored []declaration, responses []*adminv1.ApplyResponse, found []*object) {
	byKey := index(found)
	for i, d := range stored {
		if o := byKey[d.key()]; o != nil {
			responses[i].Object = o.raw
		}
	}
}
