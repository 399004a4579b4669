package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type receiverSecret struct {
	createOptions
	kind, token, hostname, email, audience string
}

func newCreateSecretReceiverCommand(a *app) *cobra.Command {
	var o receiverSecret
	cmd := &cobra.Command{
		Use:   "receiver NAME",
		Short: "Make a Secret with the token of a webhook",
		Long: "Make a Secret with the token by which the calls of a webhook are known. A new token is shown once: it has to be\n" +
			"given to the sender. The URL that is told is that of a Receiver with the Secret's name.",
		Example: `  fleetctl create secret receiver github-receiver --type github --hostname hub.example.com
  fleetctl create secret receiver gcr-receiver --type gcr --hostname hub.example.com --email-claim sa@project.iam.gserviceaccount.com`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			secret, err := a.newCreated(cmd, resource.Secret, args[0], o.createOptions)
			if err != nil {
				return err
			}
			return a.createReceiverSecret(cmd, secret, o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *receiverSecret) addFlags(cmd *cobra.Command) {
	o.createOptions.addFlags(cmd)
	addReceiverTypeFlag(cmd, &o.kind)
	cmd.Flags().StringVar(&o.token, "token", "", "the token (default: a new one)")
	cmd.Flags().StringVar(&o.hostname, "hostname", "", "the host at which senders reach the hub, such as hub.example.com")
	cmd.Flags().StringVar(&o.email, "email-claim", "", "of type gcr: the service account that calls")
	cmd.Flags().StringVar(&o.audience, "audience-claim", "", "of type gcr: whom its tokens are for (default: the webhook's URL)")
}

func (o *receiverSecret) check(cmd *cobra.Command) error {
	if err := demand(cmd, "type"); err != nil {
		return err
	}
	if err := checkReceiverType(cmd, o.kind); err != nil {
		return err
	}
	gcr := o.kind == flux.GCRReceiver
	switch {
	case gcr && o.email == "":
		return usagef(cmd, "--email-claim is required for type gcr")
	case gcr && o.audience == "" && o.hostname == "":
		return usagef(cmd, "--hostname or --audience-claim is required for type gcr")
	case !gcr && (o.email != "" || o.audience != ""):
		return usagef(cmd, "--email-claim and --audience-claim are for type gcr")
	}
	return nil
}

// createReceiverSecret makes the Secret, and tells a new token and the URL.
func (a *app) createReceiverSecret(cmd *cobra.Command, secret created, o receiverSecret) error {
	fresh := o.token == ""
	if fresh && a.flags.output != "" && !o.export {
		return usagef(cmd, "-o %s: a new token would be shown nowhere: give one with --token, or leave -o out", a.flags.output)
	}
	if fresh {
		o.token = newReceiverToken()
	}
	path := flux.WebhookPath(o.token, secret.Metadata.Name, secret.Metadata.Namespace)
	secret.StringData = o.content("https://" + o.hostname + path)
	if o.export && o.hostname != "" {
		secret.Metadata.Annotations = map[string]string{flux.WebhookAnnotation: "https://" + o.hostname + path}
	}
	if err := a.create(cmd.Context(), []created{secret}, o.createOptions, false); err != nil || o.export || o.dryRun || a.flags.output != "" {
		return err
	}
	if fresh {
		if _, err := fmt.Fprintln(a.stdout, "generated token "+o.token); err != nil {
			return err
		}
	}
	return a.tellWebhook(o.hostname, path)
}

// content is what the Secret of a webhook with that URL holds.
func (o *receiverSecret) content(url string) map[string]string {
	content := map[string]string{"token": o.token}
	if o.kind == flux.GCRReceiver {
		maps.Copy(content, map[string]string{"email": o.email, "audience": o.audience})
		if o.audience == "" {
			content["audience"] = url
		}
	}
	return content
}

// newReceiverToken is one that nobody can guess.
func newReceiverToken() string {
	token := make([]byte, 32)
	_, _ = rand.Read(token) // it never fails
	return hex.EncodeToString(token)
}
