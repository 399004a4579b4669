package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newClusterCommand(a *app) *cobra.Command {
	return newGroup("cluster", "Register and list clusters", newClusterRegisterCommand(a), newClusterListCommand(a))
}

func newClusterListCommand(a *app) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:         "list",
		Aliases:     []string{"ls"},
		Short:       "List clusters, as `get clusters` does",
		Annotations: outputs("json", "yaml", "name", "wide"),
		Args:        between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			selected, err := a.parseSelection(cmd, []string{resource.Cluster.Plural}, o)
			if err != nil {
				return err
			}
			return a.runGet(cmd.Context(), selected, o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

type registerOptions struct {
	labels []string
	ttl    time.Duration
	rejoin bool
	print  string
	dryRun bool
}

func newClusterRegisterCommand(a *app) *cobra.Command {
	var o registerOptions
	cmd := &cobra.Command{
		Use:   "register NAME",
		Short: "Register a cluster and print how its spoke joins",
		Long: "Register a cluster and print the command that its spoke joins with. The token in it is shown this once, is good\n" +
			"for one spoke, and ends after --ttl; a new one ends those before it.",
		Example: `  fleetctl cluster register eu-1 --label env=prod --label region=eu
  fleetctl cluster register eu-1 --rejoin --print=token > token`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkPrint(cmd, o); err != nil {
				return err
			}
			labels, err := parseLabels(cmd, o.labels)
			if err != nil {
				return err
			}
			return a.runRegister(cmd.Context(), args[0], labels, o)
		},
	}
	cmd.Flags().StringArrayVar(&o.labels, "label", nil, "label of the cluster, KEY=VALUE; may be repeated")
	cmd.Flags().DurationVar(&o.ttl, "ttl", 0, "how long the token is good for, at most 24h (default 1h)")
	cmd.Flags().BoolVar(&o.rejoin, "rejoin", false, "the cluster has joined before and shall do so anew, with a new key")
	cmd.Flags().StringVar(&o.print, "print", "command", "command, token or env")
	addDryRunFlag(cmd, &o.dryRun)
	return cmd
}

// checkPrint refuses a --print that is none, and one that would say nothing: what -o gives has the token in a field, and
// a dry run has none.
func (a *app) checkPrint(cmd *cobra.Command, o registerOptions) error {
	given := cmd.Flags().Changed("print")
	switch {
	case !slices.Contains([]string{"command", "token", "env"}, o.print):
		return usagef(cmd, "--print %q is not command, token or env", o.print)
	case given && a.machine():
		return usagef(cmd, "-o %s and --print do not go together", a.flags.output)
	case given && o.dryRun:
		return usagef(cmd, "--print: a dry run makes no token")
	}
	return nil
}

func parseLabels(cmd *cobra.Command, texts []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, text := range texts {
		for _, pair := range strings.Split(text, ",") {
			key, value, found := strings.Cut(pair, "=")
			if !found || key == "" {
				return nil, usagef(cmd, "--label %q is not KEY=VALUE", pair)
			}
			if _, twice := labels[key]; twice {
				return nil, usagef(cmd, "--label %s is given twice", key)
			}
			labels[key] = value
		}
	}
	return labels, nil
}

func (a *app) runRegister(ctx context.Context, name string, labels map[string]string, o registerOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	request := &adminv1.RegisterRequest{Name: name, Labels: labels, Rejoin: o.rejoin, DryRun: o.dryRun}
	if o.ttl != 0 { // else the hub's default
		request.Ttl = durationpb.New(o.ttl)
	}
	response, err := h.clusters.Register(ctx, request)
	if err != nil {
		f := a.explain("register "+name, err)
		if status.Code(err) == codes.AlreadyExists {
			f.next = "--rejoin, if its spoke shall join anew with a new key"
		}
		return f
	}
	return a.printRegistered(ref{kind: resource.Cluster, name: name}, response, o)
}

func (a *app) printRegistered(r ref, response *adminv1.RegisterResponse, o registerOptions) error {
	expires := response.GetExpiresAt().AsTime()
	if a.machine() {
		cluster, err := readObject(response.GetCluster())
		if err != nil {
			return err
		}
		_, err = a.emit(struct {
			Token        string          `json:"token,omitempty"`
			ExpiresAt    time.Time       `json:"expiresAt"`
			SpokeAddress string          `json:"spokeAddress"`
			Cluster      json.RawMessage `json:"cluster"`
		}{response.GetToken(), expires, response.GetSpokeAddress(), cluster.raw})
		return err
	}
	if o.dryRun {
		a.say(symbolDo, "the token would be good for one spoke until %s; a dry run makes none", expires.UTC().Format(time.RFC3339))
		return a.printRefs([]ref{r}, done("registered", true))
	}
	a.say(symbolDone, "cluster %s is registered; the token is good for one spoke until %s and is not shown again", r.name, expires.UTC().Format(time.RFC3339))
	text := fmt.Sprintf("flotilla-spoke run --hub %s --token %s\n", response.GetSpokeAddress(), response.GetToken())
	switch o.print {
	case "token":
		text = response.GetToken() + "\n"
	case "env":
		text = fmt.Sprintf("FLOTILLA_SPOKE_HUB=%s\nFLOTILLA_SPOKE_TOKEN=%s\n", response.GetSpokeAddress(), response.GetToken())
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}
