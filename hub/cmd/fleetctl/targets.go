package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newTargetsCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "targets KIND/NAME | -f FILE",
		Short: "Show which clusters an app or a placement is for, and why",
		Long: "Show every cluster, whether an app or a placement is for it, and why or why not: labels, names, taints, deletion.\n" +
			"For those that it is for, it shows the wave, the release and what is the cluster's own: variables, patches, values.\n\n" +
			"With -f the Placement in a file is looked at, before it is applied.",
		Example: `  fleetctl targets ks/podinfo
  fleetctl targets placement/podinfo -o wide
  fleetctl targets -f placement.yaml`,
		Annotations: outputs("wide", "json", "yaml"),
		Args:        between(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := a.targetsRequest(cmd, args, file)
			if err != nil {
				return err
			}
			return a.runTargets(cmd.Context(), request)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file with a Placement, or - for stdin")
	return cmd
}

func (a *app) targetsRequest(cmd *cobra.Command, args []string, file string) (*adminv1.ListTargetsRequest, error) {
	if err := a.settings(); err != nil {
		return nil, err
	}
	request := &adminv1.ListTargetsRequest{}
	switch {
	case file == "" && len(args) == 0:
		return nil, usagef(cmd, "name an app or a placement, or give one with -f")
	case file != "":
		placement, err := a.readOne(cmd.Context(), file, resource.Placement)
		if err != nil {
			return nil, err
		}
		request.Placement = placement
	}
	if len(args) == 0 {
		return request, nil
	}
	refs, err := a.parseRefs(cmd, args)
	switch {
	case err != nil:
		return nil, err
	case len(refs) > 1:
		return nil, usagef(cmd, "%s is an argument too many", refs[1])
	case !refs[0].kind.App && refs[0].kind.Name != resource.Placement.Name:
		return nil, usagef(cmd, "%s: apps and placements are for clusters", refs[0])
	}
	request.Kind, request.Namespace, request.Name = refs[0].kind.Name, refs[0].namespace, refs[0].name
	if file != "" && refs[0].kind.App {
		return nil, &failure{code: exitUsage, what: fmt.Sprintf("-f looks at the Placement in the file, for all its apps: leave %s out", refs[0]), next: "fleetctl targets -f " + file}
	}
	if file != "" && refs[0].kind.Name == resource.Placement.Name {
		if given, err := identify(request.GetPlacement()); err != nil || given.key() != refs[0].key() {
			return nil, usagef(cmd, "-f %s is not %s: leave one of them out", file, refs[0])
		}
	}
	return request, fleetWide(cmd, refs)
}

func (a *app) runTargets(ctx context.Context, request *adminv1.ListTargetsRequest) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.targets(ctx, request)
	if err != nil {
		return a.explain("list targets", err)
	}
	if written, err := a.emit(newTargetsDocument(response)); written {
		return err
	}
	for _, app := range response.GetMissingApps() {
		a.say(symbolWarn, "app %s is not declared", app)
	}
	for _, cluster := range response.GetMissingClusters() {
		a.say(symbolWarn, "cluster %s is not registered", cluster)
	}
	policy, err := a.undeclaredPolicy(ctx, h, request)
	if err != nil {
		return a.explain("look for the RolloutPolicy", err)
	}
	if policy != "" {
		a.say(symbolWarn, "RolloutPolicy/%s is not declared: nothing new goes to any cluster until it is, and no waves can be told", policy)
	}
	if len(response.GetTargets()) == 0 {
		a.say(symbolWarn, "there are no clusters")
		return nil
	}
	return a.printTargets(response.GetTargets())
}

// targets reads all pages of what request asks for.
func (h *hub) targets(ctx context.Context, request *adminv1.ListTargetsRequest) (*adminv1.ListTargetsResponse, error) {
	all := &adminv1.ListTargetsResponse{}
	for page, err := range pages(ctx, h.rollouts.ListTargets, request, &request.PageToken) {
		if err != nil {
			return nil, err
		}
		all.Targets = append(all.Targets, page.GetTargets()...)
		all.MissingApps = append(all.MissingApps, page.GetMissingApps()...)
		all.MissingClusters = append(all.MissingClusters, page.GetMissingClusters()...)
	}
	return all, nil
}

// undeclaredPolicy names the RolloutPolicy of the Placement that a request is about where it is not declared; empty: it is, or
// none is named.
func (a *app) undeclaredPolicy(ctx context.Context, h *hub, request *adminv1.ListTargetsRequest) (string, error) {
	var placements []*object
	switch {
	case len(request.GetPlacement()) > 0:
		given, err := readObject(request.GetPlacement())
		if err != nil {
			return "", err
		}
		placements = []*object{given}
	default:
		all, _, err := h.list(ctx, query{kind: resource.Placement, namespace: request.GetNamespace()})
		if err != nil {
			return "", err
		}
		placements = all
	}
	for _, o := range placements {
		p := placementOf(o)
		about := len(request.GetPlacement()) > 0 || request.GetKind() == resource.Placement.Name && o.Metadata.Name == request.GetName() ||
			slices.ContainsFunc(p.Apps, func(app fleet.AppRef) bool { return app.Kind == request.GetKind() && app.Name == request.GetName() })
		if !about {
			continue
		}
		missing, err := a.lacksPolicy(ctx, h, p)
		switch {
		case err != nil:
			return "", err
		case missing:
			return p.RolloutPolicyRef.Name, nil
		}
	}
	return "", nil
}

// printTargets lists the clusters that are chosen before those that are not, and of a Placement with several Apps each.
func (a *app) printTargets(targets []*adminv1.Target) error {
	targets = slices.Clone(targets)
	slices.SortStableFunc(targets, func(a, b *adminv1.Target) int {
		switch {
		case a.GetTargeted() == b.GetTargeted():
			return 0
		case a.GetTargeted():
			return -1
		}
		return 1
	})
	several := slices.ContainsFunc(targets, func(t *adminv1.Target) bool { return len(t.GetApps()) > 1 })
	targetedColumn := 1
	headers := []string{"CLUSTER", "TARGETED", "WHY", "WAVE", "RELEASE", "CONNECTED", "HELD"}
	if several {
		headers = append([]string{"APP"}, headers...)
		targetedColumn++
	}
	wide := a.flags.output == "wide"
	if wide {
		headers = append(headers, "LABELS", "VARIABLES", "PATCHES", "VALUES")
	}
	t := a.table(inColumn(targetedColumn, printer.Good), headers...)
	chosen := 0
	for _, target := range targets {
		if target.GetTargeted() {
			chosen++
		}
		apps := target.GetApps()
		if len(apps) == 0 {
			apps = []*adminv1.TargetApp{nil}
		}
		for _, app := range apps {
			cells := []string{target.GetCluster(), title(target.GetTargeted()), target.GetWhy(), app.GetWave(), printer.Revision(app.GetRelease()), title(target.GetConnected()), target.GetHeld()}
			if several {
				cells = append([]string{app.GetApp()}, cells...)
			}
			if wide {
				patches := ""
				if app.GetPatches() > 0 {
					patches = fmt.Sprint(app.GetPatches())
				}
				cells = append(cells, labelText(target.GetLabels()), labelText(app.GetVariables()), patches, string(app.GetValues()))
			}
			t.Add(cells...)
		}
	}
	if err := t.Flush(a.stdout); err != nil {
		return err
	}
	a.say(symbolDo, "%d of %s", chosen, count(len(targets), "cluster"))
	return nil
}

type targetDoc struct {
	Cluster   string            `json:"cluster"`
	Labels    map[string]string `json:"labels,omitempty"`
	Targeted  bool              `json:"targeted"`
	Why       string            `json:"why"`
	Connected bool              `json:"connected"`
	Held      string            `json:"held,omitempty"`
	Apps      []targetAppDoc    `json:"apps,omitempty"`
}

type targetAppDoc struct {
	App       string            `json:"app"`
	Release   string            `json:"release,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
	Patches   int32             `json:"patches"`
	Values    json.RawMessage   `json:"values,omitempty"`
	Wave      string            `json:"wave,omitempty"`
}

func newTargetsDocument(r *adminv1.ListTargetsResponse) any {
	list := struct {
		Items           []targetDoc `json:"items"`
		MissingApps     []string    `json:"missingApps"`
		MissingClusters []string    `json:"missingClusters"`
	}{[]targetDoc{}, append([]string{}, r.GetMissingApps()...), append([]string{}, r.GetMissingClusters()...)}
	for _, t := range r.GetTargets() {
		d := targetDoc{Cluster: t.GetCluster(), Labels: t.GetLabels(), Targeted: t.GetTargeted(), Why: t.GetWhy(), Connected: t.GetConnected(), Held: t.GetHeld()}
		for _, app := range t.GetApps() {
			one := targetAppDoc{App: app.GetApp(), Release: app.GetRelease(), Variables: app.GetVariables(), Patches: app.GetPatches(), Wave: app.GetWave()}
			if json.Valid(app.GetValues()) {
				one.Values = app.GetValues()
			}
			d.Apps = append(d.Apps, one)
		}
		list.Items = append(list.Items, d)
	}
	return list
}
