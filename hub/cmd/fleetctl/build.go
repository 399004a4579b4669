package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func newBuildCommand(a *app) *cobra.Command {
	var flags localFlags
	var secrets, explain bool
	cmd := &cobra.Command{
		Use:   "build ks/NAME --path DIR",
		Short: "Build a local directory as the hub would build the Kustomization from it",
		Long: "Build a local directory as the hub would build the Kustomization from it: with the build fields of its spec on top, as\n" +
			"declared at the hub or in a file. No cluster is asked: variables are put in, values are decrypted and a Placement's\n" +
			"patches are applied in each cluster, as fleetctl diff shows.\n\n" +
			"Values of Secrets are masked, unless --show-secrets. What SOPS has encrypted stays as it is then.\n\n" +
			"With --explain it prints no objects, but which way the hub builds this tree and why: plain and engine cost what changed,\n" +
			"kustomize grows with the square of the number of objects, encrypted is built in each cluster. -o wide lists the files\n" +
			"that the build reads. A commit builds nothing that changes none of them, adds none to a directory that is built without\n" +
			"a kustomization.yaml, and none at a path that the build looks for in vain; -o json has those among the inputs.",
		Example: `  fleetctl build ks/podinfo --path ./deploy/overlays/prod
  fleetctl build ks/podinfo --path ./deploy --kustomization-file podinfo.yaml --show-secrets | kubectl apply --dry-run=server -f -
  fleetctl build ks/podinfo --path ./deploy/overlays/prod --explain`,
		Annotations: outputs("wide", "json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.parseRefs(cmd, args)
			if err != nil {
				return err
			}
			switch r := refs[0]; {
			case len(refs) > 1:
				return usagef(cmd, "%s is an argument too many", refs[1])
			case r.kind.Name != resource.Kustomization.Name:
				return usagef(cmd, "%s: only a Kustomization is built", r)
			case r.cluster != "":
				return usagef(cmd, "%s: it is built once for every cluster: leave @%s out", r, r.cluster)
			case flags.path == "":
				return usagef(cmd, "--path is missing: the local directory to build")
			case a.flags.output != "" && !a.outputByEnv && !explain:
				return usagef(cmd, "-o %s: objects are printed as YAML; --explain has it", a.flags.output)
			case explain && secrets:
				return usagef(cmd, "--explain prints no objects: leave --show-secrets out")
			case explain:
				return a.runExplainBuild(cmd.Context(), refs[0], flags)
			}
			return a.runBuild(cmd.Context(), refs[0], flags, secrets)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&explain, "explain", false, "say which way the tree is built and why, in place of its objects")
	cmd.Flags().BoolVar(&secrets, "show-secrets", false, "do not mask the values of Secrets")
	cmd.AddCommand(newBuildArtifactCommand(a))
	return cmd
}

func (a *app) runBuild(ctx context.Context, r ref, flags localFlags, secrets bool) error {
	declared, documents, err := a.buildLocal(ctx, r, flags)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, document := range documents {
		if !secrets {
			if document, err = masked(document); err != nil {
				return err
			}
		}
		text.WriteString("---\n")
		text.Write(document)
	}
	if _, err := a.stdout.Write(text.Bytes()); err != nil {
		return err
	}
	a.say(symbolDone, "built from %s for %s; objects: %d", flags.path, r, len(documents))
	a.leftToClusters(declared.Kustomization)
	return nil
}

// leftToClusters says what a build leaves to the clusters.
func (a *app) leftToClusters(declared flux.Kustomization) {
	if declared.PostBuild != nil {
		a.say(symbolWarn, "spec.postBuild: variables are put in by each cluster; fleetctl diff --path shows them there")
	}
	if declared.Decryption != nil {
		a.say(symbolWarn, "spec.decryption: values are decrypted by each cluster")
	}
	if declared.CommonMetadata != nil {
		a.say(symbolWarn, "spec.commonMetadata is set on every object after the build")
	}
}

// masked hides the values of a Secret; any other document stays byte for byte.
func masked(document []byte) ([]byte, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return nil, fmt.Errorf("read an object that was built: %w", err)
	}
	if head.Kind != "Secret" || head.APIVersion != "v1" {
		return document, nil
	}
	var secret map[string]any
	if err := yaml.Unmarshal(document, &secret); err != nil {
		return nil, fmt.Errorf("read a Secret that was built: %w", err)
	}
	for _, field := range []string{"data", "stringData"} {
		values, isMap := secret[field].(map[string]any)
		for key := range values {
			values[key] = "***"
		}
		if _, has := secret[field]; has && !isMap {
			secret[field] = "***"
		}
	}
	return yaml.Marshal(secret)
}
