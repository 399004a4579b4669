package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newTraceCommand(a *app) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use:   "trace KIND/NAME --cluster CLUSTER",
		Short: "Tell where an object of a cluster comes from: its app, revision and source",
		Long: "Tell where an object of a cluster comes from: from the object to its owners, the app that applied them, the release and\n" +
			"revision that the app is at there, and the source of that.\n\n" +
			"KIND is any kind of the cluster, by its name, plural or short name, with its group behind a dot where need be.",
		Example: `  fleetctl trace pod/podinfo-6c8f -n apps --cluster eu-1
  fleetctl trace deploy podinfo -n apps --cluster eu-1
  fleetctl trace certificate.cert-manager.io/web -n apps --cluster eu-1 -o json`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.settings(); err != nil {
				return err
			}
			word, name, _ := strings.Cut(args[0], "/")
			if len(args) == 2 {
				if strings.Contains(args[0], "/") {
					return usagef(cmd, "%q is an argument too many", args[1])
				}
				name = args[1]
			}
			switch {
			case word == "" || name == "" || strings.Contains(name, "/"):
				return usagef(cmd, "%q names no object: KIND/NAME does", strings.Join(args, " "))
			case cluster == "":
				return usagef(cmd, "--cluster is missing: an object is in one cluster")
			}
			return a.runTrace(cmd.Context(), &adminv1.TraceAsk{Word: word, Namespace: a.namespace(), Name: name}, cluster)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "the cluster that has the object")
	_ = cmd.RegisterFlagCompletionFunc("cluster", a.completeClusters) // the flag is there
	return cmd
}

// traced is where an object comes from, as far as that is known.
type traced struct {
	Cluster string            `json:"cluster"`
	Object  fleet.ObjectRef   `json:"object"`
	Owners  []fleet.ObjectRef `json:"owners"`
	// Managed is by whom: Flotilla, Flux, or nobody that is known.
	Managed string       `json:"managedBy"`
	Why     string       `json:"why,omitempty"`
	App     *tracedApp   `json:"app,omitempty"`
	Source  *tracedPlace `json:"source,omitempty"`
}

// tracedApp is the App there.
type tracedApp struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Path      string `json:"path,omitempty"`
	// Chart is a HelmRelease's, by name and range of versions; empty: the source is the chart.
	Chart    string `json:"chart,omitempty"`
	Release  string `json:"release,omitempty"`
	Revision string `json:"revision,omitempty"`
	Ready    string `json:"ready"`
	Message  string `json:"message,omitempty"`
}

// tracedPlace is the App's Source.
type tracedPlace struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	URL       string `json:"url,omitempty"`
	Ref       string `json:"ref,omitempty"`
	Revision  string `json:"revision,omitempty"`
	Ready     string `json:"ready"`
	Message   string `json:"message,omitempty"`
}

// By whom an object may be managed.
const (
	byFlotilla = "Flotilla"
	byFlux     = "Flux"
	byNobody   = "nobody"
)

func (a *app) runTrace(ctx context.Context, object *adminv1.TraceAsk, cluster string) error {
	named := object.GetWord() + "/" + object.GetName() + " in " + cluster
	answers, err := ask[fleet.Trace](ctx, a, "trace "+named, &adminv1.AskRequest{Cluster: cluster, Ask: &adminv1.AskRequest_Trace{Trace: object}})
	if err != nil {
		return err
	}
	if err := failed("trace "+named, answers); err != nil {
		return err
	}
	if len(answers) == 0 || len(answers[0].content.Chain) == 0 {
		return &failure{code: exitNotFound, what: named + ": there is no such object", next: "-n names another namespace"}
	}
	trace := answers[0].content
	t := &traced{Cluster: cluster, Object: trace.Chain[0], Owners: trace.Chain[1:]}
	t.judge(trace)
	if !trace.App.IsZero() {
		if err := a.traceApp(ctx, t, trace.App); err != nil {
			return err
		}
	}
	if printed, err := a.emit(t); printed || err != nil {
		return err
	}
	return a.printTrace(t)
}

// judge says by whom the object is managed.
func (t *traced) judge(trace fleet.Trace) {
	last := trace.Chain[len(trace.Chain)-1]
	switch {
	case !trace.App.IsZero():
		t.Managed = byFlotilla
	case trace.Owner != "" && trace.Declared:
		t.Managed, t.Why = byFlux, fmt.Sprintf("%s has the labels of %s, an object of the cluster's own Flux", last, trace.Owner)
	case trace.Owner != "":
		t.Managed, t.Why = byNobody, fmt.Sprintf("%s has the labels of %s, which neither Flotilla nor a Flux has in this cluster: it was left behind", last, trace.Owner)
	case trace.Lost != "":
		t.Managed, t.Why = byNobody, fmt.Sprintf("%s belongs to %s, which is gone", last, trace.Lost)
	default:
		t.Managed, t.Why = byNobody, fmt.Sprintf("%s has no owner, and no labels of Flotilla or Flux", last)
	}
}

// traceApp fills in the App and its Source, as the hub knows them.
func (a *app) traceApp(ctx context.Context, t *traced, app fleet.Key) error {
	t.App = &tracedApp{Kind: app.Kind, Namespace: app.Namespace, Name: app.Name, Ready: string(fleet.Unknown)}
	kind, known := resource.KindOf(app.Kind)
	if !known {
		return nil
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	r := ref{kind: kind, namespace: app.Namespace, name: app.Name, cluster: t.Cluster}
	instance, err := h.get(ctx, r)
	if status.Code(err) == codes.NotFound {
		t.App.Message = "the hub does not assign it to this cluster any more; the cluster keeps it"
		return nil
	}
	if err != nil {
		return a.explain("read "+r.String(), err)
	}
	ready := instance.condition("Ready")
	t.App.Release, t.App.Revision = instance.Status.Fleet.Release, instance.Status.LastAppliedRevision
	t.App.Ready, t.App.Message = ready.Status, ready.Message
	if len(instance.Spec) == 0 {
		return nil // it is deleted, and on its way out
	}
	declared, err := flux.DecodeApp(app.Kind, instance.Spec)
	if err != nil {
		return fmt.Errorf("read %s: %w", r, err)
	}
	switch spec := declared.(type) {
	case flux.Kustomization:
		t.App.Path = spec.Path
	case flux.HelmRelease:
		if spec.Chart != nil {
			t.App.Chart = strings.TrimSpace(spec.Chart.Spec.Chart + " " + spec.Chart.Spec.Version)
		}
	}
	_, from := declared.Refers()
	sourceKind, known := resource.KindOf(from.Kind)
	if !known {
		return nil
	}
	s := ref{kind: sourceKind, namespace: cmp.Or(from.Namespace, app.Namespace), name: from.Name}
	t.Source = &tracedPlace{Kind: sourceKind.Name, Namespace: s.namespace, Name: s.name, Ready: string(fleet.Unknown)}
	source, err := h.get(ctx, s)
	if status.Code(err) == codes.NotFound {
		t.Source.Message = "it is not declared any more"
		return nil
	}
	if err != nil {
		return a.explain("read "+s.String(), err)
	}
	return t.Source.fill(source)
}

func (p *tracedPlace) fill(source *object) error {
	var spec struct {
		URL string            `json:"url"`
		Ref map[string]string `json:"ref"`
	}
	if err := json.Unmarshal(source.Spec, &spec); err != nil {
		return fmt.Errorf("read %s: %w", source.ref(), err)
	}
	p.URL = withoutQuery(spec.URL)
	for _, field := range []string{"commit", "name", "digest", "semver", "tag", "branch"} { // the first wins, as in Flux
		if value := spec.Ref[field]; value != "" {
			p.Ref = field + " " + value
			break
		}
	}
	ready := source.condition("Ready")
	p.Revision, p.Ready, p.Message = source.revision(), ready.Status, ready.Message
	return nil
}

func (a *app) printTrace(t *traced) error {
	rows := [][2]string{{"Object", t.Object.String()}, {"Cluster", t.Cluster}}
	for _, owner := range t.Owners {
		rows = append(rows, [2]string{"Owned by", owner.String()})
	}
	managed := "managed by " + t.Managed
	if t.Managed == byNobody {
		managed = "not managed by Flotilla, nor by a Flux"
	}
	if t.Managed == byFlux {
		managed = "not managed by Flotilla: managed by Flux"
	}
	rows = append(rows, [2]string{"Status", managed})
	if t.Why != "" {
		rows = append(rows, [2]string{"Why", t.Why})
	}
	if app := t.App; app != nil {
		rows = append(rows, [2]string{}, [2]string{app.Kind, app.Name}, [2]string{"Namespace", app.Namespace}, [2]string{"Path", app.Path}, [2]string{"Chart", app.Chart},
			[2]string{"Release", app.Release}, [2]string{"Revision", app.Revision}, [2]string{"Ready", app.Ready}, [2]string{"Message", app.Message})
	}
	if source := t.Source; source != nil {
		rows = append(rows, [2]string{}, [2]string{source.Kind, source.Name}, [2]string{"Namespace", source.Namespace}, [2]string{"URL", source.URL},
			[2]string{"Ref", source.Ref}, [2]string{"Revision", source.Revision}, [2]string{"Ready", source.Ready}, [2]string{"Message", source.Message})
	}
	return a.printRows(rows)
}
