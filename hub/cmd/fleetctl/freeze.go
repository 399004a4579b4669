package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newFreezeCommand(a *app) *cobra.Command {
	var reason string
	var show, dryRun bool
	var confirm confirmation
	cmd := &cobra.Command{
		Use:   "freeze [CLUSTER...] --reason TEXT",
		Short: "Have nothing new go to the fleet, or to some clusters",
		Long: "Have nothing new go to the fleet, or to some clusters, until unfreeze. What a cluster has begun is finished; an app that\n" +
			"is deleted goes, and controls such as suspend go on. An app that a Placement no longer chooses a cluster for (onUnmatch:\n" +
			"Prune) stays in what is frozen until then. A rollout that is under way still takes clusters back; one that begins to an older\n" +
			"release passes over clusters that are frozen by name, until unfreeze, but not those of a frozen fleet. --show tells what\n" +
			"is frozen and changes nothing.\n\n" +
			"A freeze of the fleet has to be confirmed by the number of clusters: typed, or given with --confirm.\n\n" +
			"Someone at a cluster holds apps by the annotation fleet.flotilla.dev/hold=REASON there: on the spoke's namespace all of\n" +
			"them, on a namespace those in it, on Flux's object of an app's name that app. On the Cluster at the hub it is a freeze.",
		Example: `  fleetctl freeze --reason "year's end"
  fleetctl freeze --reason "incident 4711" --confirm=12
  fleetctl freeze eu-1 eu-2 --reason "network maintenance"
  fleetctl freeze --show`,
		Annotations: outputs("json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case show && (len(args) > 0 || reason != "" || confirm.count >= 0):
				return usagef(cmd, "--show tells all that is frozen: leave the rest out")
			case show:
				return a.showFrozen(cmd.Context())
			case strings.TrimSpace(reason) == "":
				return usagef(cmd, "--reason is required: whoever waits will want to know why")
			}
			if err := checkClusterNames(cmd, args); err != nil {
				return err
			}
			return a.changeFreeze(cmd.Context(), freezing{
				doing: "freeze", clusters: args, dryRun: dryRun, confirm: confirm,
				send: func(ctx context.Context, h *hub, dryRun bool, confirm *uint32) (refrozen, error) {
					return h.rollouts.Freeze(ctx, &adminv1.FreezeRequest{Clusters: args, Reason: reason, DryRun: dryRun, Confirm: confirm})
				},
				means: func(context.Context, *hub) (string, []string, error) {
					return "nothing new goes to any cluster, until unfreeze (" + reason + ")", nil, nil
				},
			})
		},
		ValidArgsFunction: a.completeClusters,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why: it is told wherever something waits for it")
	addDryRunFlag(cmd, &dryRun)
	confirm.addFlags(cmd)
	cmd.Flags().BoolVar(&show, "show", false, "tell what is frozen, and change nothing")
	return cmd
}

func newUnfreezeCommand(a *app) *cobra.Command {
	var dryRun bool
	var confirm confirmation
	cmd := &cobra.Command{
		Use:   "unfreeze [CLUSTER...]",
		Short: "End a freeze of the fleet, or of some clusters",
		Long: "End the freeze of the fleet, or of the clusters that are named; a cluster that is frozen by itself stays so when the\n" +
			"fleet's freeze ends. That has to be confirmed by the number of clusters: typed, or given with --confirm.\n\n" +
			"Of a cluster whose declaration holds it (annotation fleet.flotilla.dev/hold of the Cluster), the annotation is taken out\n" +
			"at the hub; the next apply of a file that has it puts it back. Holds by annotations in the cluster itself end there.",
		Example: `  fleetctl unfreeze
  fleetctl unfreeze --confirm=12
  fleetctl unfreeze eu-1 eu-2`,
		Annotations: outputs("json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkClusterNames(cmd, args); err != nil {
				return err
			}
			return a.changeFreeze(cmd.Context(), freezing{
				doing: "unfreeze", clusters: args, dryRun: dryRun, confirm: confirm,
				send: func(ctx context.Context, h *hub, dryRun bool, confirm *uint32) (refrozen, error) {
					return h.rollouts.Unfreeze(ctx, &adminv1.UnfreezeRequest{Clusters: args, DryRun: dryRun, Confirm: confirm})
				},
				means: func(ctx context.Context, h *hub) (string, []string, error) { return h.thaws(ctx) },
			})
		},
		ValidArgsFunction: a.completeClusters,
	}
	addDryRunFlag(cmd, &dryRun)
	confirm.addFlags(cmd)
	return cmd
}

// freezing is a freeze, or its end.
type freezing struct {
	doing string
	// clusters by name; none: the fleet.
	clusters []string
	dryRun   bool
	confirm  confirmation
	send     func(ctx context.Context, h *hub, dryRun bool, confirm *uint32) (refrozen, error)
	// means says what it comes to where it is of the fleet, and what follows from that.
	means func(context.Context, *hub) (what string, details []string, err error)
}

// refrozen is what a hub answers to one.
type refrozen interface {
	frozen
	GetImpact() *adminv1.Impact
}

func (a *app) changeFreeze(ctx context.Context, f freezing) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	var confirmed *uint32
	if len(f.clusters) == 0 && !f.dryRun {
		if confirmed, err = a.confirmFreezing(ctx, h, f); err != nil {
			return err
		}
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	state, err := f.send(ctx, h, f.dryRun, confirmed)
	if err != nil {
		return a.explain(f.doing, err)
	}
	return a.printFrozen(state, f.dryRun)
}

// confirmFreezing returns the number of clusters that a person confirmed for a freeze of the fleet, or its end.
func (a *app) confirmFreezing(ctx context.Context, h *hub, f freezing) (*uint32, error) {
	bounded, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	planned, err := f.send(bounded, h, true, nil)
	if err != nil {
		return nil, a.explain(f.doing, err)
	}
	what, details, err := f.means(bounded, h)
	if err != nil {
		return nil, a.explain(f.doing, err)
	}
	if err := a.confirm(ctx, f.confirm, []stake{{what: what, impact: planned.GetImpact(), details: details}}); err != nil {
		return nil, err
	}
	clusters := planned.GetImpact().GetClusters()
	return &clusters, nil
}

// thaws says what the end of the fleet's freeze comes to, and which Rollouts go on then.
func (h *hub) thaws(ctx context.Context) (what string, goOn []string, err error) {
	state, err := h.rollouts.GetFreeze(ctx, &adminv1.GetFreezeRequest{})
	if err != nil {
		return "", nil, err
	}
	rollouts, more, err := h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Phases: []string{phaseRunning}}, maxShown, func(ro *adminv1.Rollout) bool {
		return ro.GetReason() == "Frozen"
	})
	if err != nil {
		return "", nil, err
	}
	for _, ro := range rollouts {
		goOn = append(goOn, fmt.Sprintf("%s of %s goes on to %s", ro.GetId(), appOf(ro), releaseText(ro)))
	}
	if more {
		goOn = append(goOn, "and more rollouts")
	}
	if state.GetFleet() == nil {
		return "the fleet is not frozen now", goOn, nil
	}
	return "the freeze of the whole fleet ends (" + state.GetFleet().GetReason() + ")", goOn, nil
}

func checkClusterNames(cmd *cobra.Command, names []string) error {
	for _, name := range names {
		if !isName(name) {
			return usagef(cmd, "%q is not the name of a cluster", name)
		}
	}
	return nil
}

// allFrozen reads all pages of what is frozen.
func (h *hub) allFrozen(ctx context.Context) (*adminv1.GetFreezeResponse, error) {
	all, request := &adminv1.GetFreezeResponse{}, &adminv1.GetFreezeRequest{}
	for page, err := range pages(ctx, h.rollouts.GetFreeze, request, &request.PageToken) {
		if err != nil {
			return nil, err
		}
		all.Fleet = page.GetFleet()
		all.Clusters = append(all.Clusters, page.GetClusters()...)
	}
	return all, nil
}

// frozen is what is frozen, all or the first of it.
type frozen interface {
	GetFleet() *adminv1.FreezeState
	GetClusters() []*adminv1.FreezeState
}

func (a *app) showFrozen(ctx context.Context) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	state, err := h.allFrozen(ctx)
	if err != nil {
		return a.explain("show what is frozen", err)
	}
	return a.printFrozen(state, false)
}

func (a *app) printFrozen(state frozen, dryRun bool) error {
	if written, err := a.emit(newFreezeDocument(state)); written {
		return err
	}
	all := state.GetClusters()
	if state.GetFleet() != nil {
		all = append([]*adminv1.FreezeState{state.GetFleet()}, all...)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(a.stdout, done("nothing is frozen", dryRun))
		return err
	}
	t := a.table(nil, "FROZEN", "SINCE", "BY", "REASON")
	t.NoHeaders = dryRun // each line says that it is one
	for _, f := range all {
		name := f.GetCluster()
		if name == "" {
			name = "the fleet"
		}
		t.Add(name, age(f.GetAt(), a.now()), f.GetActor(), done(f.GetReason(), dryRun))
	}
	if err := t.Flush(a.stdout); err != nil {
		return err
	}
	if more := moreFrozen(state); more > 0 {
		a.say(symbolDo, "and %s: fleetctl freeze --show", count(int(more), "more cluster"))
	}
	return nil
}

// moreFrozen is how many clusters are frozen beside those that are told.
func moreFrozen(f frozen) int32 {
	if first, some := f.(interface{ GetMore() int32 }); some {
		return first.GetMore()
	}
	return 0
}

// freezeDocument is what is frozen, for programs.
type freezeDocument struct {
	Fleet    *freezeStateDoc  `json:"fleet"`
	Clusters []freezeStateDoc `json:"clusters"`
	// More is how many clusters are frozen that are not among them.
	More int32 `json:"more,omitempty"`
}

type freezeStateDoc struct {
	Cluster string `json:"cluster,omitempty"`
	Reason  string `json:"reason"`
	Actor   string `json:"actor"`
	At      string `json:"at,omitempty"`
}

func newFreezeDocument(f frozen) freezeDocument {
	d := freezeDocument{Clusters: []freezeStateDoc{}, More: moreFrozen(f)}
	one := func(s *adminv1.FreezeState) freezeStateDoc {
		return freezeStateDoc{s.GetCluster(), s.GetReason(), s.GetActor(), stamp(s.GetAt())}
	}
	if f.GetFleet() != nil {
		fleet := one(f.GetFleet())
		d.Fleet = &fleet
	}
	for _, s := range f.GetClusters() {
		d.Clusters = append(d.Clusters, one(s))
	}
	return d
}
