package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

func newPushCommand(a *app) *cobra.Command {
	return newGroup("push", "Push artifacts to a registry or to the hub", newPushArtifactCommand(a))
}

// pushFlags say what is pushed.
type pushFlags struct {
	files            fileFlags
	registry         registryFlags
	source, revision string
	annotations      []string
	reproducible     bool
	dryRun           bool
}

func newPushArtifactCommand(a *app) *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "artifact oci://HOST/REPOSITORY:TAG | ea/NAME",
		Short: "Push a directory as an artifact",
		Long: "Push a directory as an artifact: to a registry, as Flux's client does and for Flux and the hub to pull; or to an\n" +
			"ExternalArtifact of the hub, which is declared if it is not there.\n\n" +
			"The same files give the same archive, whatever their times and owners; --reproducible makes the digest in a registry\n" +
			"the same too. Symbolic links are left out, unless --resolve-symlinks.\n\n" +
			"What is pushed to the hub heeds the directory's .sourceignore files, as what the hub fetches does.",
		Example: `  fleetctl push artifact oci://ghcr.io/org/config/app:$(git rev-parse --short HEAD) --path ./deploy \
    --source "$(git config --get remote.origin.url)" --revision "main@sha1:$(git rev-parse HEAD)"
  fleetctl push artifact ea/app -n apps --path ./deploy --revision "main@sha1:$(git rev-parse HEAD)"`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			annotations, err := parseAnnotations(cmd, f.annotations)
			if err != nil {
				return err
			}
			if err := demand(cmd, "path", "revision"); err != nil {
				return err
			}
			if len(args) == 1 && isOCI(args[0]) {
				if err := demand(cmd, "source"); err != nil {
					return err
				}
				return a.pushToRegistry(cmd, args[0], f, annotations)
			}
			refs, err := a.parseRefs(cmd, args)
			switch {
			case err != nil:
				return err
			case len(refs) > 1:
				return usagef(cmd, "%s is an argument too many", refs[1])
			case refs[0].kind.Name != resource.ExternalArtifact.Name:
				return usagef(cmd, "%s: only an ExternalArtifact takes what is pushed; the hub fetches the others itself", refs[0])
			case f.registry != registryFlags{provider: "generic"}:
				return usagef(cmd, "--creds, --provider and --insecure-registry are for registries")
			}
			f.files.sourceIgnore = true
			return a.pushToHub(cmd, refs[0], f, annotations)
		},
	}
	f.files.add(cmd, "f")
	f.registry.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "where the files come from, such as the URL of a repository")
	flags.StringVar(&f.revision, "revision", "", "what they are there, such as main@sha1:COMMIT")
	flags.StringArrayVarP(&f.annotations, "annotations", "a", nil, "annotation of the artifact, KEY=VALUE; may be repeated")
	flags.BoolVar(&f.reproducible, "reproducible", false, "say that it was made at 1970-01-01T00:00:00Z")
	addDryRunFlag(cmd, &f.dryRun)
	return cmd
}

// created is when the artifact was made, as far as it says.
func (f pushFlags) created(now time.Time) time.Time {
	if f.reproducible {
		return time.Unix(0, 0)
	}
	return now
}

func parseAnnotations(cmd *cobra.Command, texts []string) (map[string]string, error) {
	annotations := map[string]string{}
	for _, text := range texts {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return nil, usagef(cmd, "--annotations %q is not KEY=VALUE", text)
		}
		annotations[key] = value
	}
	return annotations, nil
}
