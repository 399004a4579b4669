package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/resource"
)

func newCreateCommand(a *app) *cobra.Command {
	return newGroup("create", "Make sources, HelmReleases, secrets, credentials, receivers and policies, or print them as YAML",
		newCreateSourceCommand(a), newCreateHelmReleaseCommand(a), newCreateSecretCommand(a), newCreateCredentialCommand(a), newCreateReceiverCommand(a), newCreateRolloutPolicyCommand(a))
}

// createOptions are those of every `create`.
type createOptions struct {
	export, dryRun bool
	labels         []string
}

func (o *createOptions) addFlags(cmd *cobra.Command) {
	cmd.Annotations = outputs("json", "yaml", "name")
	cmd.Flags().BoolVar(&o.export, "export", false, "print the object as YAML and ask no hub")
	cmd.Flags().StringArrayVar(&o.labels, "label", nil, "label of the object, KEY=VALUE; may be repeated")
	addDryRunFlag(cmd, &o.dryRun)
}

// created is an object that a `create` makes.
type created struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   resource.Metadata `json:"metadata"`
	Spec       any               `json:"spec,omitempty"`
	Type       string            `json:"type,omitempty"`
	StringData map[string]string `json:"stringData,omitempty"`
}

// newCreated is an object of the kind, in the namespace that is meant and with the labels that are given.
func (a *app) newCreated(cmd *cobra.Command, kind resource.Kind, name string, o createOptions) (created, error) {
	if err := a.settings(); err != nil {
		return created{}, err
	}
	labels, err := parseLabels(cmd, o.labels)
	if err != nil {
		return created{}, err
	}
	object := created{APIVersion: kind.APIVersion, Kind: kind.Name, Metadata: resource.Metadata{Name: name, Labels: labels}}
	if kind.Namespaced {
		object.Metadata.Namespace = a.namespace()
	}
	return object, nil
}

// create prints the objects, or declares them; wait says whether to wait until they are ready.
func (a *app) create(ctx context.Context, objects []created, o createOptions, wait bool) error {
	var declared []declaration
	for i, object := range objects {
		raw, err := json.Marshal(object)
		if err != nil {
			return err
		}
		r, err := decodeDeclared(raw)
		if err != nil {
			return refuse("%s", err)
		}
		declared = append(declared, declaration{manifest: manifest{file: "the command line", number: i + 1, line: 1}, ref: r, object: raw})
	}
	if o.export {
		return a.export(declared)
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	for i := range declared {
		if err := a.keepAnnotations(ctx, h, &declared[i], objects[i]); err != nil {
			return err
		}
		if !o.dryRun {
			a.say(symbolDo, "applying %s", declared[i].ref)
		}
	}
	return a.applyDeclared(ctx, h, declared, applyOptions{dryRun: o.dryRun, wait: wait && !o.dryRun, firstLook: true})
}

// export prints objects as Flux's client does.
func (a *app) export(declared []declaration) error {
	for _, d := range declared {
		if a.flags.output == "json" {
			if err := printer.JSON(a.stdout, json.RawMessage(d.object)); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintln(a.stdout, "---"); err != nil {
			return err
		}
		if err := printer.YAML(a.stdout, json.RawMessage(d.object)); err != nil {
			return err
		}
	}
	return nil
}

// keepAnnotations gives an object that is declared already the annotations that it has: what is made here has labels and a
// spec, and says nothing of those.
func (a *app) keepAnnotations(ctx context.Context, h *hub, d *declaration, object created) error {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	before, err := h.get(ctx, d.ref)
	switch {
	case status.Code(err) == codes.NotFound:
		return nil
	case err != nil:
		return a.explain("get "+d.ref.String(), err)
	case len(before.Metadata.Annotations) == 0:
		return nil
	}
	annotations := maps.Clone(before.Metadata.Annotations)
	maps.Copy(annotations, object.Metadata.Annotations)
	object.Metadata.Annotations = annotations
	d.object, err = json.Marshal(object)
	return err
}

// demand refuses a command without some flags.
func demand(cmd *cobra.Command, names ...string) error {
	var missing []error
	for _, name := range names {
		if flag := cmd.Flags().Lookup(name); flag.Value.String() == "" || flag.Value.String() == "[]" {
			missing = append(missing, fmt.Errorf("--%s is required", name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return usagef(cmd, "%s", err)
	}
	return nil
}
