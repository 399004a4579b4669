package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newDescribeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "describe KIND/NAME[@CLUSTER]... | ID",
		Short: "Tell all about an object, and what blocks it",
		Long:  "Tell all about an object, and what blocks it. Of the id of a rollout, it shows what `rollout status --watch=false` does.",
		Example: `  fleetctl describe ks/podinfo
  fleetctl describe ks/podinfo@eu-1
  fleetctl describe cluster/eu-1
  fleetctl describe ro-7k2f`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asksForRollouts(args) {
				r, err := a.describedRollout(cmd, args)
				if err != nil {
					return err
				}
				return a.runRolloutStatus(cmd.Context(), r, false)
			}
			refs, err := a.parseRefs(cmd, args)
			if err != nil {
				return err
			}
			for _, r := range refs {
				if r.cluster == everyCluster {
					return usagef(cmd, "%s: leave @* out; its clusters are told too", r)
				}
			}
			return a.runDescribe(cmd.Context(), refs)
		},
		ValidArgsFunction: a.completeRolloutsOr(a.completeObjects(refsOnly)),
	}
}

func (a *app) runDescribe(ctx context.Context, refs []ref) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	first := true
	return a.each(refs, "describe", func(i int) (any, error) {
		d, err := h.describe(ctx, refs[i])
		if err != nil {
			return nil, err
		}
		if a.machine() {
			return d.document(), nil
		}
		if !first {
			fmt.Fprint(a.stdout, "\n\n")
		}
		first = false
		return nil, a.printDescription(d)
	})
}

// description is all there is to tell about an object.
type description struct {
	object *object
	// instances of an App, or what a cluster runs.
	instances []*object
	events    []*adminv1.Event
	// rollouts of an App, the newest, or those in flight by a RolloutPolicy.
	rollouts []*adminv1.Rollout
	// turn is what an instance's cluster is in the first of them.
	turn *adminv1.RolloutCluster
	// users are the Placements that name a RolloutPolicy.
	users []*object
}

func (d *description) document() any {
	document := struct {
		Object    json.RawMessage   `json:"object"`
		Instances []json.RawMessage `json:"instances,omitempty"`
		Users     []json.RawMessage `json:"placements,omitempty"`
		Rollouts  []rolloutDocument `json:"rollouts,omitempty"`
		Turn      *clusterDoc       `json:"turn,omitempty"`
		Events    []eventDocument   `json:"events"`
	}{Object: d.object.raw, Events: []eventDocument{}}
	for _, o := range d.instances {
		document.Instances = append(document.Instances, o.raw)
	}
	for _, o := range d.users {
		document.Users = append(document.Users, o.raw)
	}
	if d.turn != nil {
		document.Turn = newClusterDoc(d.turn)
	}
	for _, ro := range d.rollouts {
		document.Rollouts = append(document.Rollouts, newRolloutDocument(ro, nil, nil))
	}
	for _, e := range d.events {
		document.Events = append(document.Events, newEventDocument(e))
	}
	return document
}

// maxEvents is how many of the last events a description has.
const maxEvents = 10

func (h *hub) describe(ctx context.Context, r ref) (*description, error) {
	d := &description{}
	var err error
	if d.object, err = h.get(ctx, r); err != nil {
		return nil, err
	}
	filter := &adminv1.EventFilter{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster}
	switch {
	case r.kind.App && r.cluster == "":
		d.instances, _, err = h.list(ctx, query{kind: r.kind, namespace: r.namespace, name: r.name, cluster: everyCluster})
	case r.kind.Name == resource.Cluster.Name:
		for _, kind := range resource.AppKinds() {
			found, _, listErr := h.list(ctx, query{kind: kind, cluster: r.name})
			d.instances, err = append(d.instances, found...), errors.Join(err, listErr)
		}
		filter = &adminv1.EventFilter{Cluster: r.name}
	}
	if err != nil {
		return nil, err
	}
	if err := h.describeRollouts(ctx, d, r); err != nil {
		return nil, err
	}
	response, err := h.events.List(ctx, &adminv1.EventsServiceListRequest{Filter: filter, Limit: maxEvents})
	if err != nil && status.Code(err) != codes.Unimplemented {
		return nil, err
	}
	d.events = response.GetEvents()
	return d, nil
}

func (a *app) printDescription(d *description) error {
	out := a.stdout
	a.describeMetadata(d.object)
	a.describeStatus(d.object)
	if len(d.object.Spec) > 0 && string(d.object.Spec) != "{}" {
		spec, err := shownSpec(d.object)
		if err != nil {
			return fmt.Errorf("spec of %s: %w", d.object.ref(), err)
		}
		fmt.Fprintf(out, "Spec:\n%s", indent(string(spec)))
	}
	if err := a.describeConditions(d.object); err != nil {
		return err
	}
	a.describeBlockers(d)
	a.describeUse(d)
	if err := a.describeInstances(d); err != nil {
		return err
	}
	return a.describeEvents(d.events)
}

// shownSpec is the spec as YAML for a screen, without the query of a HelmRepository's URL. -o yaml has all of it.
func shownSpec(o *object) ([]byte, error) {
	text, err := yaml.JSONToYAML(o.Spec)
	if err != nil || o.Kind != resource.HelmRepository.Name {
		return text, err
	}
	var spec map[string]any
	if err := yaml.Unmarshal(text, &spec); err != nil {
		return nil, err
	}
	if address, is := spec["url"].(string); is {
		spec["url"] = withoutQuery(address)
	}
	return yaml.Marshal(spec)
}

func (a *app) describeMetadata(o *object) {
	a.field("Name", o.Metadata.Name)
	a.field("Namespace", o.Metadata.Namespace)
	a.field("Cluster", o.ref().cluster)
	a.field("Kind", o.Kind+" ("+o.APIVersion+")")
	a.field("Type", o.Type)
	a.field("Labels", labelText(o.Metadata.Labels))
	annotations := maps.Clone(o.Metadata.Annotations)
	delete(annotations, fleet.ClusterAnnotation)
	for i, key := range slices.Sorted(maps.Keys(annotations)) {
		label := ""
		if i == 0 {
			label = "Annotations"
		}
		a.field(label, key+"="+annotations[key])
	}
	if at := o.created(); !at.IsZero() {
		a.field("Age", printer.Age(at, a.now()))
	}
	if at := o.Metadata.DeletionTimestamp; at != nil {
		a.field("Terminating", "for "+printer.Age(*at, a.now()))
	}
}

// field prints a line of a description; an empty value has none.
func (a *app) field(label, value string) {
	if value == "" {
		return
	}
	if label != "" {
		label += ":"
	}
	fmt.Fprintf(a.stdout, "%-13s %s\n", label, value)
}

func (a *app) describeStatus(o *object) {
	s := o.Status
	a.field("Revision", o.revision())
	if s.Artifact != nil {
		a.field("Digest", s.Artifact.Digest)
	}
	if s.LastAttemptedRevision != o.revision() {
		a.field("Attempted", s.LastAttemptedRevision)
	}
	if o.suspended() {
		a.field("Suspended", "True")
	}
	a.field("Release", s.Fleet.Release)
	a.field("Stable", s.Rollout.stableText())
	if s.Fleet.Generation > 0 {
		a.field("Generation", fmt.Sprint(s.Fleet.Generation))
	}
	if s.Fleet.ReportedAt != "" {
		a.field("Reported", printer.Age(moment(s.Fleet.ReportedAt), a.now())+" ago")
	}
	if f := s.Fleet; f.Total > 0 {
		a.field("Fleet", fmt.Sprintf("%d/%d ready, %d progressing, %d failed, %d unknown, %d suspended, %d with prunes held",
			f.Ready, f.Total, f.Progressing, f.Failed, f.Unknown, f.Suspended, f.Held))
	}
	if o.kind.Name == resource.Placement.Name {
		a.field("Matched", strings.Join(s.Matched, ", "))
	}
	if o.kind.Name == resource.Cluster.Name {
		a.field("ID", s.ClusterID)
		a.field("Spoke", s.SpokeVersion)
		a.field("Kubernetes", s.KubernetesVersion)
		if s.LastSeen != "" {
			a.field("Last seen", printer.Age(moment(s.LastSeen), a.now())+" ago")
		}
		a.field("Apps", fmt.Sprintf("%d/%d ready, %d failed", s.Apps.Ready, s.Apps.Total, s.Apps.Failed))
	}
}

func (a *app) describeConditions(o *object) error {
	if len(o.Status.Conditions) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout, "Conditions:")
	t := a.table(statusMeaning, "TYPE", "STATUS", "AGE", "REASON", "MESSAGE")
	t.Indent = "  "
	for _, c := range o.Status.Conditions {
		t.Add(c.Type, c.Status, printer.Age(moment(c.LastTransitionTime), a.now()), c.Reason, c.Message)
	}
	return t.Flush(a.stdout)
}

// statusMeaning is what the status of a condition means, which depends on its type.
func statusMeaning(row []string, column int) printer.Meaning {
	if column == 1 {
		return conditionMeaning(row[0])
	}
	return printer.Plain
}

func (a *app) describeEvents(events []*adminv1.Event) error {
	if len(events) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout, "Events:")
	t := a.table(inColumn(1, printer.Notable), "LAST SEEN", "TYPE", "REASON", "CLUSTER", "OBJECT", "MESSAGE")
	t.Indent = "  "
	for _, e := range events {
		t.Add(printer.Age(e.GetAt().AsTime(), a.now()), eventType(e), e.GetReason(), e.GetCluster(), e.GetObject(), e.GetMessage())
	}
	return t.Flush(a.stdout)
}

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + line)
	}
	return out.String()
}
