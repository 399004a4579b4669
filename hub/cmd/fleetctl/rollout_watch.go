package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type rolloutWatchOptions struct {
	after     uint64
	noHeaders bool
}

func newRolloutWatchCommand(a *app) *cobra.Command {
	var o rolloutWatchOptions
	cmd := &cobra.Command{
		Use:   "watch " + rolloutArgument,
		Short: "Print everything that happens in a rollout",
		Long: "Print everything that has happened in a rollout, and then all that happens, until it has ended: what becomes of each\n" +
			"cluster, wave and gate, and what people did. After a break of the connection it goes on where it was.\n" +
			"It ends with the exit codes of `rollout status`.",
		Example: `  fleetctl rollout watch ks/podinfo
  fleetctl rollout watch ro-7k2f --after 120 -o json`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseRollout(cmd, args)
			if err != nil {
				return err
			}
			return a.runRolloutWatch(cmd.Context(), r, o)
		},
		ValidArgsFunction: a.completeRollouts,
	}
	cmd.Flags().Uint64Var(&o.after, "after", 0, "only what happened after the event of this number")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave the header line out")
	return cmd
}

// rolloutEventDoc is an event of a Rollout for programs.
type rolloutEventDoc struct {
	Number  uint64    `json:"number"`
	At      time.Time `json:"at"`
	Type    string    `json:"type"`
	Actor   string    `json:"actor,omitempty"`
	Cluster string    `json:"cluster,omitempty"`
	Wave    string    `json:"wave,omitempty"`
	Gate    string    `json:"gate,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
}

func (a *app) runRolloutWatch(ctx context.Context, r rolloutRef, o rolloutWatchOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ro, err := a.rollout(ctx, h, "watch", r)
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(ctx, 0)
	defer cancel()
	p := &rolloutEventPrinter{app: a, table: a.table(nil, "AT", "NUMBER", "TYPE", "ABOUT", "ACTOR", "REASON", "MESSAGE")}
	p.table.NoHeaders = o.noHeaders
	w := &watchingRollout{hub: h, app: exactly(ro), after: o.after, tell: func(now *adminv1.Rollout, events []*adminv1.RolloutEvent) error {
		if now != nil {
			ro = now
		}
		if err := p.print(events); err != nil {
			return err
		}
		_, end := settled(ro)
		switch {
		case end && len(events) == 0:
			return errMet
		case end:
			return errMore
		}
		return nil
	}}
	for err = errMore; errors.Is(err, errMore); {
		err = a.reconnecting(ctx, w.round)
	}
	if !errors.Is(err, errMet) {
		return a.leftRollout(ro, ctx.Err(), err)
	}
	return a.endRollout(ctx, h, ro)
}

// errMore begins a stream anew: of a Rollout that has ended, the last events are told when there are none after them.
var errMore = errors.New("there may be more")

// rolloutEventPrinter prints events in the format asked for.
type rolloutEventPrinter struct {
	app   *app
	table *printer.Table
}

func (p *rolloutEventPrinter) print(events []*adminv1.RolloutEvent) error {
	for _, e := range events {
		written, err := p.app.emitNext(rolloutEventDoc{
			Number: e.GetNumber(), At: e.GetAt().AsTime(), Type: e.GetType(), Actor: e.GetActor(), Cluster: e.GetCluster(), Wave: e.GetWave(),
			Gate: e.GetGate(), Reason: e.GetReason(), Message: e.GetMessage(),
		})
		if err != nil {
			return err
		}
		if !written {
			p.table.Add(clock(e.GetAt().AsTime()), fmt.Sprint(e.GetNumber()), e.GetType(), eventPlace(e), e.GetActor(), e.GetReason(), e.GetMessage())
		}
	}
	return p.table.Flush(p.app.stdout)
}
