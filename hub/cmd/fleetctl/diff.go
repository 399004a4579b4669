package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// errDifferent says that there are differences: it is told by the exit code alone.
var errDifferent = errors.New("there are differences")

type diffFlags struct {
	drift bool
	local localFlags
}

func newDiffCommand(a *app) *cobra.Command {
	var flags diffFlags
	cmd := &cobra.Command{
		Use:   "diff KIND/NAME[@CLUSTER]",
		Short: "Show what an apply would change in the clusters, against what is there",
		Long: "Show what an apply would change in the clusters, against what is there.\n\n" +
			"The spoke of each cluster compares the objects that the app should have there by a dry-run, which writes nothing. With\n" +
			"--path, objects that are built from local files take their place; with --drift, only what was applied and has become\n" +
			"otherwise since is shown. Values of Secrets do not leave the cluster: *** (before) and *** (after) stand for one that\n" +
			"would change. Clusters where the same would happen are shown as one.\n\n" +
			"With --kustomization-file, what that says of the build and of how objects are applied, such as postBuild, takes the\n" +
			"place of what each cluster has been told.\n\n" +
			"Of a HelmRelease, the values and the rendered objects are compared with those of the newest revision that Helm has there.\n" +
			"Where values of Secrets may be among them, only which fields of the objects would change is shown.\n\n" +
			"The exit code is 0 without differences, 1 with some, and more when something went wrong.",
		Example: `  fleetctl diff ks/podinfo
  fleetctl diff ks/podinfo@eu-1 --drift
  fleetctl diff ks/podinfo --path ./deploy/overlays/prod
  fleetctl diff hr/podinfo@eu-1`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseInstance(cmd, args)
			if err != nil {
				return err
			}
			if flags.drift && flags.local.path != "" {
				return usagef(cmd, "--drift is of what was applied: it does not go with --path")
			}
			if r.kind.Name == resource.HelmRelease.Name {
				switch {
				case flags.local.path != "":
					return usagef(cmd, "%s: a HelmRelease is rendered in its cluster: --path is for Kustomizations", r)
				case flags.drift:
					return usagef(cmd, "%s: what has drifted of a HelmRelease its condition Drifted tells: fleetctl describe %s", r, r.command())
				}
			}
			return notDifferent(a, a.runDiff(cmd.Context(), r, flags))
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	cmd.Flags().BoolVar(&flags.drift, "drift", false, "only what was applied and has become otherwise since")
	flags.local.add(cmd)
	cmd.AddCommand(newDiffArtifactCommand(a))
	return cmd
}

// parseInstance reads arguments that name one App, in one cluster or in all.
func (a *app) parseInstance(cmd *cobra.Command, args []string) (ref, error) {
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return ref{}, err
	}
	switch {
	case len(refs) > 1:
		return ref{}, usagef(cmd, "%s is an argument too many", refs[1])
	case !refs[0].kind.App:
		return ref{}, usagef(cmd, "%s: only apps have objects in clusters", refs[0])
	}
	return refs[0], nil
}

func (a *app) runDiff(ctx context.Context, r ref, flags diffFlags) error {
	request := about(r)
	request.Ask = &adminv1.AskRequest_Diff{Diff: &adminv1.DiffAsk{Drift: flags.drift}}
	if flags.local.path != "" {
		declared, built, err := a.buildLocal(ctx, r, flags.local)
		if err != nil {
			return err
		}
		documents, err := pack(built)
		if err != nil {
			return err
		}
		request.Ask = &adminv1.AskRequest_Diff{Diff: &adminv1.DiffAsk{Documents: documents}}
		if flags.local.file != "" {
			request.Ask = &adminv1.AskRequest_DeclaredDiff{DeclaredDiff: &adminv1.DeclaredDiffAsk{Documents: documents, Declared: declared.declared}}
		}
	}
	answers, err := ask[fleet.Diff](ctx, a, "compare "+r.String(), request)
	if err != nil {
		return err
	}
	if a.machine() {
		err = a.emitDiffs(r, answers)
	} else {
		err = a.printDiffs(r, answers)
	}
	if err != nil {
		return err
	}
	if err := failed("compare "+r.String(), answers); err != nil {
		return err
	}
	return differences(r, answers)
}

// differences is what the command ends with when all clusters have answered.
func differences(r ref, answers []answer[fleet.Diff]) error {
	different, errs := false, ""
	for _, got := range answers {
		different = different || got.content.Left > 0 || got.content.Values != ""
		for _, o := range got.content.Objects {
			different = different || o.Change != ""
			if o.Error != "" {
				errs += got.cluster + ": " + o.Error + "\n"
			}
		}
	}
	switch {
	case errs != "":
		return &failure{code: exitFailed, what: "compare " + r.String() + ": an apply would fail, or cannot be foretold", why: errs}
	case different:
		return errDifferent
	}
	return nil
}

// pack is what a question carries of documents.
func pack(documents [][]byte) ([]byte, error) {
	if len(documents) == 0 {
		return nil, refuse("nothing is built there: a diff against no objects is one of deletions alone; fleetctl delete --dry-run shows those")
	}
	packed, err := fleet.PackDocuments(documents)
	if err != nil {
		return nil, refuse("what is built is too much for a diff: %s", err)
	}
	return packed, nil
}

// diffDocument is one cluster's diff for programs.
type diffDocument struct {
	Cluster string `json:"cluster"`
	fleet.Diff
	Error string `json:"error,omitempty"`
}

func (a *app) emitDiffs(r ref, answers []answer[fleet.Diff]) error {
	documents := []any{}
	for _, got := range answers {
		document := diffDocument{Cluster: got.cluster, Diff: got.content}
		if got.err != nil {
			document.Error, document.Objects = got.err.what, []fleet.ObjectDiff{}
		}
		documents = append(documents, document)
	}
	return a.emitEach(documents, r.cluster != "" && r.cluster != everyCluster)
}

// printDiffs shows clusters with the same diff as one.
func (a *app) printDiffs(r ref, answers []answer[fleet.Diff]) error {
	var order []string
	clusters, same := map[string][]string{}, 0
	for _, got := range answers {
		switch text := a.diffText(got.content); {
		case got.err != nil:
		case text == "":
			same++
		default:
			if len(clusters[text]) == 0 {
				order = append(order, text)
			}
			clusters[text] = append(clusters[text], got.cluster)
		}
	}
	for i, text := range order {
		if i > 0 {
			text = "\n" + text
		}
		head := fmt.Sprintf("%s in %s", r.pasted(), strings.Join(clusters[order[i]], ", "))
		if r.cluster != "" && r.cluster != everyCluster {
			head = r.pasted()
		}
		if i > 0 {
			head = "\n" + head
		}
		if _, err := fmt.Fprintf(a.stdout, "%s\n%s", head, strings.TrimPrefix(text, "\n")); err != nil {
			return err
		}
	}
	if same > 0 {
		a.say(symbolDone, "no differences in %d of %d clusters", same, len(answers))
	}
	return nil
}

// diffText is a diff for a person; empty: there is none.
func (a *app) diffText(d fleet.Diff) string {
	coloured := a.colours(a.stdoutTTY)
	var text strings.Builder
	if d.Values != "" {
		fmt.Fprintf(&text, "%s values %s\n", a.mark(symbolDo, coloured), changeWords[fleet.ChangeChange])
		for line := range strings.Lines(d.Values) {
			text.WriteString(paint(line, coloured))
		}
	}
	for _, o := range d.Objects {
		if o.Error != "" {
			fmt.Fprintf(&text, "%s %s\n", a.mark(symbolFail, coloured), printer.Fold(o.Error))
			continue
		}
		fmt.Fprintf(&text, "%s %s %s\n", a.mark(symbolDo, coloured), printer.Fold(o.Object.String()), changeWords[o.Change])
		if o.Cut {
			fmt.Fprintf(&text, "  (too long to be shown with the others)\n")
		}
		for line := range strings.Lines(o.Diff) {
			text.WriteString(paint(line, coloured))
		}
	}
	if d.Left > 0 {
		fmt.Fprintf(&text, "and %d more objects\n", d.Left)
	}
	return text.String()
}

// changeWords say what would become of an object.
var changeWords = map[string]string{
	fleet.ChangeCreate: "created", fleet.ChangeChange: "changed", fleet.ChangeDelete: "deleted",
	fleet.ChangeHeld: "deleted, once the prune guard lets it",
}

// paint colours a line of a diff.
func paint(line string, coloured bool) string {
	colour := map[byte]string{'-': "\x1b[31m", '+': "\x1b[32m", '@': "\x1b[36m"}[line[0]]
	if !coloured || colour == "" {
		return line
	}
	return colour + strings.TrimSuffix(line, "\n") + "\x1b[0m\n"
}
