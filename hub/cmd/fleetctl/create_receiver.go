package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type receiverOptions struct {
	createOptions
	kind, secretRef   string
	events, resources []string
}

func newCreateReceiverCommand(a *app) *cobra.Command {
	var o receiverOptions
	cmd := &cobra.Command{
		Use:   "receiver NAME",
		Short: "Make a Receiver, which makes sources and apps due when a webhook is called",
		Long: "Make a Receiver, with the flags of Flux's client: what it names is looked at as soon as its webhook is called.\n\n" +
			"It tells the path at which the hub takes the calls, below its address for HTTP. Whoever knows the path may call\n" +
			"the types that sign nothing, so keep it as a secret.",
		Example: `  fleetctl create secret receiver github-receiver --type github
  fleetctl create receiver github-receiver --type github --event ping --event push \
    --secret-ref github-receiver --resource GitRepository/webapp --resource HelmRepository/webapp`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := demand(cmd, "type", "secret-ref", "resource"); err != nil {
				return err
			}
			if err := checkReceiverType(cmd, o.kind); err != nil {
				return err
			}
			receiver, err := a.newCreated(cmd, resource.Receiver, args[0], o.createOptions)
			if err != nil {
				return err
			}
			spec := flux.Receiver{Type: o.kind, Events: o.events, SecretRef: &flux.SecretRef{Name: o.secretRef}}
			if spec.Resources, err = parseReceiverResources(cmd, o.resources); err != nil {
				return err
			}
			receiver.Spec = spec
			return a.createReceiver(cmd.Context(), receiver, o.createOptions)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *receiverOptions) addFlags(cmd *cobra.Command) {
	o.createOptions.addFlags(cmd)
	addReceiverTypeFlag(cmd, &o.kind)
	cmd.Flags().StringVar(&o.secretRef, "secret-ref", "", "the Secret with the token")
	cmd.Flags().StringSliceVar(&o.events, "event", nil, "an event that is heeded, such as push; may be repeated; none: all")
	cmd.Flags().StringSliceVar(&o.resources, "resource", nil, "KIND/NAME[.NAMESPACE] of what is looked at; may be repeated")
}

// secretReceivers are the types that have a Secret.
var secretReceivers = slices.DeleteFunc(slices.Clone(flux.ReceiverTypes), func(kind string) bool { return kind == flux.GenericOIDCReceiver })

func addReceiverTypeFlag(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "type", "", "who calls: "+strings.Join(secretReceivers, ", "))
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions(secretReceivers, cobra.ShellCompDirectiveNoFileComp))
}

func checkReceiverType(cmd *cobra.Command, kind string) error {
	if !slices.Contains(secretReceivers, kind) {
		return usagef(cmd, "--type %q is not one of %s", kind, strings.Join(secretReceivers, ", "))
	}
	return nil
}

func parseReceiverResources(cmd *cobra.Command, texts []string) ([]flux.ReceiverResource, error) {
	var all []flux.ReceiverResource
	for _, text := range texts {
		kind, name, found := strings.Cut(text, "/")
		if !found || kind == "" || name == "" {
			return nil, usagef(cmd, "--resource %q is not KIND/NAME[.NAMESPACE]", text)
		}
		r := flux.ReceiverResource{Kind: kind, Name: name}
		if dot := strings.LastIndex(name, "."); dot > 0 {
			r.Name, r.Namespace = name[:dot], name[dot+1:]
		}
		all = append(all, r)
	}
	return all, nil
}

// createReceiver makes it, waits until it is ready, and tells its path.
func (a *app) createReceiver(ctx context.Context, receiver created, o createOptions) error {
	if err := a.create(ctx, []created{receiver}, o, true); err != nil || o.export || o.dryRun || a.flags.output != "" {
		return err
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	stored, err := h.get(ctx, ref{kind: resource.Receiver, namespace: receiver.Metadata.Namespace, name: receiver.Metadata.Name})
	if err != nil {
		return a.explain("get the webhook's path", err)
	}
	return a.tellWebhook("", stored.Status.WebhookPath)
}

// tellWebhook prints where a webhook is called; without a host, the path of it.
func (a *app) tellWebhook(host, path string) error {
	address := path
	if host != "" {
		address = "https://" + host + path
	}
	_, err := fmt.Fprintln(a.stdout, "generated webhook URL "+address)
	return err
}
