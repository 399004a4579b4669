package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type applyOptions struct {
	files     []string
	recursive bool
	dryRun    bool
	wait      bool
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
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "ask the hub what would happen and store nothing")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until everything is ready")
	o.confirm.addFlags(cmd)
	return cmd
}

func (a *app) runApply(ctx context.Context, o applyOptions) error {
	if err := a.settings(); err != nil {
		return err
	}
	manifests, wrong := a.readManifests(o.files, o.recursive)
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
	planned, err := a.planApply(ctx, h, declared)
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.showPlan(declared, planned)
	}
	if err := a.confirm(ctx, o.confirm, stakes(declared, planned)); err != nil {
		return err
	}
	if err := a.applyAll(ctx, h, declared, planned); err != nil || !o.wait {
		return err
	}
	return a.waitForApplied(ctx, h, declared)
}

// planApply asks the hub what each declaration would do; nothing is stored unless all of them are valid.
func (a *app) planApply(ctx context.Context, h *hub, declared []declaration) ([]*adminv1.ApplyResponse, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	var planned []*adminv1.ApplyResponse
	var wrong problems
	code := exitDone
	for _, d := range declared {
		response, err := h.objects.Apply(ctx, &adminv1.ApplyRequest{Object: d.object, DryRun: true})
		if err != nil {
			f := a.explain("", err)
			if f.code == exitUnreachable || f.code == exitDenied || f.code == exitInterrupted || f.code == exitTimeout {
				return nil, f // it is the same for all of them
			}
			wrong.addHub(d, err, f)
			code = max(code, f.code)
		}
		planned = append(planned, response)
	}
	if len(wrong) > 0 {
		return nil, wrong.failure("nothing was applied", code)
	}
	return planned, nil
}

// addHub records what the hub refuses in a declaration: err, which f explains.
func (p *problems) addHub(d declaration, err error, f *failure) {
	p.add(d.manifest, d.long(), errors.New(f.what))
	if s, ok := status.FromError(err); ok && details(s) != "" {
		*p = append(*p, details(s))
	}
}

// failure tells all problems at once.
func (p problems) failure(what string, code exitCode) *failure {
	f := &failure{code: code, what: fmt.Sprintf("%s: %s", what, count(len(p), "problem")), next: "mend the above and run it again"}
	for _, line := range p {
		f.why += line + "\n"
	}
	return f
}

func stakes(declared []declaration, planned []*adminv1.ApplyResponse) []stake {
	var all []stake
	for i, response := range planned {
		if response.GetChange() != adminv1.Change_CHANGE_UNCHANGED && grave(response.GetImpact()) {
			all = append(all, stake{declared[i].ref.String(), response.GetImpact()})
		}
	}
	return all
}

func (a *app) showPlan(declared []declaration, planned []*adminv1.ApplyResponse) error {
	for i, response := range planned {
		a.warnings(declared[i], response)
		if impact := response.GetImpact(); impact.GetClusters() > 0 || grave(impact) {
			a.say(symbolDo, "%s: %s", declared[i].ref, describeImpact(impact))
		}
	}
	return a.printApplied(declared, planned, " (server dry run)")
}

// applyAll stores the declarations, in order. One that the hub refuses now does not keep the others back.
func (a *app) applyAll(ctx context.Context, h *hub, declared []declaration, planned []*adminv1.ApplyResponse) error {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	var done []declaration
	var responses []*adminv1.ApplyResponse
	var first *failure
	var wrong problems
	for i, d := range declared {
		request := &adminv1.ApplyRequest{Object: d.object}
		if grave(planned[i].GetImpact()) && planned[i].GetChange() != adminv1.Change_CHANGE_UNCHANGED {
			clusters := planned[i].GetImpact().GetClusters()
			request.Confirm = &clusters
		}
		response, err := h.objects.Apply(ctx, request)
		if err != nil {
			f := a.explain("", err)
			if first == nil {
				first = f
			}
			wrong.addHub(d, err, f)
			continue
		}
		a.warnings(d, response)
		done, responses = append(done, d), append(responses, response)
	}
	err := a.printApplied(done, responses, "")
	if first != nil {
		return wrong.failure(fmt.Sprintf("%d of %s were not applied", len(declared)-len(done), count(len(declared), "object")), first.code)
	}
	return err
}

func (a *app) warnings(d declaration, response *adminv1.ApplyResponse) {
	for _, text := range response.GetWarnings() {
		a.warn("%s: %s", d.ref, text)
	}
}

func (a *app) printApplied(declared []declaration, responses []*adminv1.ApplyResponse, suffix string) error {
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
		if len(items) == 1 {
			value = items[0]
		}
		_, err := a.emit(value)
		return err
	}
	for i, d := range declared {
		line := d.typed() + " " + changeWord(responses[i].GetChange()) + suffix
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

// waitForApplied waits for what can become ready. A Cluster does when its spoke comes, which is not this command's
// business.
func (a *app) waitForApplied(ctx context.Context, h *hub, declared []declaration) error {
	var goals []goal
	for _, d := range declared {
		if d.kind.App || d.kind.Category == "sources" || d.kind.Name == "Placement" {
			goals = append(goals, goal{ref: d.ref, expect: []expectation{expectReady()}})
		}
	}
	return a.waitFor(ctx, h, goals)
}
