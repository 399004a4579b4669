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
	var yes assent
	cmd := &cobra.Command{
		Use:   "freeze [CLUSTER...] --reason TEXT",
		Short: "Have nothing new go to the fleet, or to some clusters",
		Long: "Have nothing new go to the fleet, or to some clusters, until unfreeze. What a cluster has begun is finished; an app that\n" +
			"is deleted goes, and controls such as suspend go on. An app that a Placement no longer chooses a cluster for (onUnmatch:\n" +
			"Prune) stays in what is frozen until then. A rollout that is under way still takes clusters back; one that begins to an older\n" +
			"release passes over clusters that are frozen by name, until unfreeze, but not those of a frozen fleet. --show tells what\n" +
			"is frozen and changes nothing. A freeze of the fleet asks first, but with -y.\n\n" +
			"Someone at a cluster holds apps by the annotation fleet.flotilla.dev/hold=REASON there: on the spoke's namespace all of\n" +
			"them, on a namespace those in it, on Flux's object of an app's name that app. On the Cluster at the hub it is a freeze.",
		Example: `  fleetctl freeze --reason "year's end"
  fleetctl freeze --reason "incident 4711" -y
  fleetctl freeze eu-1 eu-2 --reason "network maintenance"
  fleetctl freeze --show`,
		Annotations: outputs("json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case show && (len(args) > 0 || reason != ""):
				return usagef(cmd, "--show tells all that is frozen: leave the rest out")
			case show:
				return a.changeFreeze(cmd.Context(), "show what is frozen", false, func(ctx context.Context, h *hub) (frozen, error) {
					return h.allFrozen(ctx)
				})
			case strings.TrimSpace(reason) == "":
				return usagef(cmd, "--reason is required: whoever waits will want to know why")
			}
			if err := checkClusterNames(cmd, args); err != nil {
				return err
			}
			return a.changeFreeze(cmd.Context(), "freeze", dryRun, func(ctx context.Context, h *hub) (frozen, error) {
				if len(args) == 0 {
					if err := a.assure(ctx, yes, dryRun, []string{"nothing new goes to any cluster, until unfreeze: " + reason}); err != nil {
						return nil, err
					}
				}
				return h.rollouts.Freeze(ctx, &adminv1.FreezeRequest{Clusters: args, Reason: reason, DryRun: dryRun})
			})
		},
		ValidArgsFunction: a.completeClusters,
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why: it is told wherever something waits for it")
	addDryRunFlag(cmd, &dryRun)
	yes.addFlags(cmd)
	cmd.Flags().BoolVar(&show, "show", false, "tell what is frozen, and change nothing")
	return cmd
}

func newUnfreezeCommand(a *app) *cobra.Command {
	var dryRun bool
	var yes assent
	cmd := &cobra.Command{
		Use:   "unfreeze [CLUSTER...]",
		Short: "End a freeze of the fleet, or of some clusters",
		Long: "End the freeze of the fleet, or of the clusters that are named; a cluster that is frozen by itself stays so when the\n" +
			"fleet's freeze ends, which asks first, but with -y.\n\n" +
			"Of a cluster whose declaration holds it (annotation fleet.flotilla.dev/hold of the Cluster), the annotation is taken out\n" +
			"at the hub; the next apply of a file that has it puts it back. Holds by annotations in the cluster itself end there.",
		Example: `  fleetctl unfreeze
  fleetctl unfreeze -y
  fleetctl unfreeze eu-1 eu-2`,
		Annotations: outputs("json", "yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkClusterNames(cmd, args); err != nil {
				return err
			}
			return a.changeFreeze(cmd.Context(), "unfreeze", dryRun, func(ctx context.Context, h *hub) (frozen, error) {
				if len(args) == 0 && !yes.yes && !dryRun {
					lines, err := h.thaws(ctx)
					if err != nil {
						return nil, err
					}
					if err := a.assure(ctx, yes, dryRun, lines); err != nil {
						return nil, err
					}
				}
				return h.rollouts.Unfreeze(ctx, &adminv1.UnfreezeRequest{Clusters: args, DryRun: dryRun})
			})
		},
		ValidArgsFunction: a.completeClusters,
	}
	addDryRunFlag(cmd, &dryRun)
	yes.addFlags(cmd)
	return cmd
}

// thaws says what the end of the fleet's freeze comes to.
func (h *hub) thaws(ctx context.Context) ([]string, error) {
	state, err := h.rollouts.GetFreeze(ctx, &adminv1.GetFreezeRequest{})
	if err != nil {
		return nil, err
	}
	rollouts, more, err := h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Phases: []string{phaseRunning}}, maxShown, func(ro *adminv1.Rollout) bool {
		return ro.GetReason() == "Frozen"
	})
	if err != nil {
		return nil, err
	}
	lines := []string{"the freeze of the whole fleet ends: " + orNothing(state.GetFleet().GetReason())}
	for _, ro := range rollouts {
		lines = append(lines, fmt.Sprintf("%s of %s goes on to %s", ro.GetId(), appOf(ro), releaseText(ro)))
	}
	if more {
		lines = append(lines, "and more rollouts")
	}
	return lines, nil
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
	for {
		page, err := h.rollouts.GetFreeze(ctx, request)
		if err != nil {
			return nil, err
		}
		all.Fleet = page.GetFleet()
		all.Clusters = append(all.Clusters, page.GetClusters()...)
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			return all, nil
		}
	}
}

// frozen is what is frozen, all or the first of it.
type frozen interface {
	GetFleet() *adminv1.FreezeState
	GetClusters() []*adminv1.FreezeState
}

func (a *app) changeFreeze(ctx context.Context, doing string, dryRun bool, do func(context.Context, *hub) (frozen, error)) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	state, err := do(ctx, h)
	if err != nil {
		return a.explain(doing, err)
	}
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
