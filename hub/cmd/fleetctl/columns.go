package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// column is one column of a table of objects.
type column struct {
	header  string
	cell    func(o *object, now time.Time) string
	meaning printer.Meaning
}

type columnOptions struct {
	// namespace and wide: the columns of -A and -o wide; typed: the kind stands before the name.
	namespace, wide, typed bool
}

// columnsOf are the columns for objects like sample, named as Flux's client names them.
func columnsOf(sample *object, options columnOptions) []column {
	var columns []column
	if options.namespace && sample.kind.Namespaced {
		columns = append(columns, textColumn("NAMESPACE", func(o *object) string { return o.Metadata.Namespace }))
	}
	columns = append(columns, textColumn("NAME", func(o *object) string {
		if options.typed {
			return typeName(o.kind) + "/" + o.Metadata.Name
		}
		return o.Metadata.Name
	}))
	normal, wide := kindColumns(sample)
	columns = append(columns, normal...)
	if options.wide {
		columns = append(columns, wide...)
	}
	return columns
}

func kindColumns(sample *object) (normal, wide []column) {
	switch {
	case sample.kind.App && sample.ref().cluster != "":
		return instanceColumns()
	case sample.kind.App:
		return []column{revisionColumn, suspendedColumn, readyColumn, clustersColumn, messageColumn},
			[]column{textColumn("ROLLOUT", rolloutOf), textColumn("SOURCE", appSource), textColumn("ATTEMPTED", attempted), ageColumn}
	case sample.Kind == resource.Cluster.Name:
		return clusterColumns()
	case sample.Kind == resource.Placement.Name:
		return placementColumns()
	case sample.Kind == resource.RolloutPolicy.Name:
		return policyColumns()
	case sample.Kind == resource.Receiver.Name:
		return []column{suspendedColumn, readyColumn, messageColumn}, []column{textColumn("TYPE", receiverType), ageColumn}
	case sample.Kind == resource.Secret.Name:
		return []column{textColumn("TYPE", func(o *object) string { return o.Type }), ageColumn}, nil
	case sample.Kind == resource.Credential.Name:
		return []column{textColumn("URL PREFIX", func(o *object) string { return credentialOf(o).URLPrefix }),
			textColumn("NAMESPACES", func(o *object) string { return strings.Join(credentialOf(o).Namespaces, ",") }),
			textColumn("PROVIDER", func(o *object) string { return credentialOf(o).Provider }), ageColumn}, nil
	case sample.Kind == resource.ServiceAccount.Name:
		return []column{ageColumn}, nil
	}
	return []column{revisionColumn, suspendedColumn, readyColumn, messageColumn},
		[]column{textColumn("URL", sourceURL), ageColumn}
}

// rolloutOf is "ro-7k2f Running 1/3": the wave under way and how many there are.
func rolloutOf(o *object) string {
	r := o.Status.Rollout
	text := strings.TrimSpace(r.ID + " " + r.Phase)
	if r.WaveNumber > 0 {
		text += fmt.Sprintf(" %d/%d", r.WaveNumber, r.Waves)
	}
	return text
}

func receiverType(o *object) string {
	var spec flux.Receiver
	_ = json.Unmarshal(o.Spec, &spec) // the hub validated it; without it: none
	return spec.Type
}

func textColumn(header string, cell func(*object) string) column {
	return column{header: header, cell: func(o *object, _ time.Time) string { return cell(o) }}
}

func (c column) means(m printer.Meaning) column {
	c.meaning = m
	return c
}

// conditionColumn shows the status of the condition of that type.
func conditionColumn(kind string) column {
	return textColumn(strings.ToUpper(kind), func(o *object) string { return o.condition(kind).Status }).means(conditionMeaning(kind))
}

// conditionMeaning is what it means that a condition is True: of one that is not known here, nothing.
func conditionMeaning(kind string) printer.Meaning {
	switch kind {
	case "Ready", "Healthy", "Connected", "ArtifactInStorage", "Released", "TestSuccess":
		return printer.Good
	case "Stalled", "FetchFailed", "PruneHeld", "SafeMode", "Drifted", "Remediated":
		return printer.Bad
	case "Reconciling":
		return printer.Notable
	}
	return printer.Plain
}

var (
	revisionColumn  = textColumn("REVISION", func(o *object) string { return printer.Revision(o.revision()) })
	suspendedColumn = textColumn("SUSPENDED", func(o *object) string { return title(o.suspended()) }).means(printer.Notable)
	readyColumn     = conditionColumn("Ready")
	messageColumn   = textColumn("MESSAGE", message)
	ageColumn       = column{header: "AGE", cell: func(o *object, now time.Time) string { return printer.Age(o.created(), now) }}
	clustersColumn  = textColumn("CLUSTERS", func(o *object) string {
		return fmt.Sprintf("%d/%d", o.Status.Fleet.Ready, o.Status.Fleet.Total)
	})
)

func instanceColumns() (normal, wide []column) {
	normal = []column{
		textColumn("CLUSTER", func(o *object) string { return o.ref().cluster }),
		revisionColumn, suspendedColumn, readyColumn, messageColumn,
	}
	wide = []column{
		conditionColumn("Healthy"),
		textColumn("ATTEMPTED", attempted),
		textColumn("RELEASE", func(o *object) string { return printer.Revision(o.Status.Fleet.Release) }),
		textColumn("GENERATION", func(o *object) string { return fmt.Sprint(o.Status.Fleet.Generation) }),
		{header: "REPORTED", cell: func(o *object, now time.Time) string { return printer.Age(moment(o.Status.Fleet.ReportedAt), now) }},
	}
	return normal, wide
}

func clusterColumns() (normal, wide []column) {
	normal = []column{
		readyColumn,
		conditionColumn("Connected"),
		textColumn("APPS", func(o *object) string { return fmt.Sprintf("%d/%d", o.Status.Apps.Ready, o.Status.Apps.Total) }),
		textColumn("SPOKE", func(o *object) string { return o.Status.SpokeVersion }),
		textColumn("K8S", func(o *object) string { return o.Status.KubernetesVersion }),
		{header: "LAST SEEN", cell: func(o *object, now time.Time) string { return printer.Age(moment(o.Status.LastSeen), now) }},
		messageColumn,
	}
	wide = []column{
		textColumn("LABELS", func(o *object) string { return labelText(o.Metadata.Labels) }),
		textColumn("ID", func(o *object) string { return o.Status.ClusterID }),
		ageColumn,
	}
	return normal, wide
}

func placementColumns() (normal, wide []column) {
	normal = []column{
		textColumn("APPS", func(o *object) string { return placedApps(placementOf(o)) }),
		textColumn("CLUSTERS", func(o *object) string { return chosenClusters(placementOf(o)) }),
		textColumn("MATCHED", func(o *object) string { return fmt.Sprint(len(o.Status.Matched)) }),
		readyColumn, messageColumn,
	}
	wide = []column{
		textColumn("POLICY", func(o *object) string {
			if ref := placementOf(o).RolloutPolicyRef; ref != nil {
				return ref.Name
			}
			return ""
		}),
		textColumn("MATCHING", func(o *object) string { return strings.Join(o.Status.Matched, ",") }),
		ageColumn,
	}
	return normal, wide
}

// message is the Ready condition's, after what a person must not miss.
func message(o *object) string {
	var parts []string
	text := o.condition("Ready").Message
	if safe := o.condition("SafeMode"); safe.Status == string(fleet.True) {
		reason := cmp.Or(safe.Message, "the hub is behind this cluster")
		if !strings.Contains(reason, "hub recover") {
			reason += " (fleetctl hub recover)"
		}
		parts = append(parts, "SAFE MODE: "+reason)
		if strings.Contains(reason, text) {
			text = ""
		}
	}
	if held := o.Status.Fleet.PruneHeld; held != nil {
		parts = append(parts, fmt.Sprintf("PRUNE HELD: %s (fleetctl prune show %s)", count(held.Count, "object"), o.ref().command()))
	} else if n := o.Status.Fleet.Held; n > 0 {
		parts = append(parts, fmt.Sprintf("PRUNE HELD in %s (fleetctl prune show %s)", count(n, "cluster"), o.ref().command()))
	}
	if unknown := o.Status.UnknownAssignments; len(unknown) > 0 {
		parts = append(parts, "UNKNOWN APPS: "+strings.Join(unknown, ", "))
	}
	if text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func attempted(o *object) string { return printer.Revision(o.Status.LastAttemptedRevision) }

func appSource(o *object) string {
	app, err := flux.DecodeApp(o.Kind, o.Spec)
	if err != nil {
		return "" // the hub validated it; a newer one shows as far as it is known
	}
	_, ref := app.Refers()
	return ref.Kind + "/" + ref.Name
}

// sourceURL is where a Source has what it has from.
func sourceURL(o *object) string {
	switch o.Kind {
	case resource.Bucket.Name:
		var spec flux.Bucket
		_ = json.Unmarshal(o.Spec, &spec)
		endpoint, _, _ := strings.Cut(spec.Endpoint, "?") // as it may have one at Azure
		return strings.TrimSuffix(endpoint, "/") + "/" + spec.BucketName
	case resource.HelmChart.Name:
		var spec flux.HelmChart
		_ = json.Unmarshal(o.Spec, &spec)
		return spec.SourceRef.Kind + "/" + spec.SourceRef.Name + " " + spec.Chart
	}
	var spec flux.GitRepository // as the others' is
	_ = json.Unmarshal(o.Spec, &spec)
	return withoutQuery(spec.URL)
}

// withoutQuery is a URL for a screen: the query of a HelmRepository's may be what lets in.
func withoutQuery(address string) string {
	before, _, queried := strings.Cut(address, "?")
	if queried {
		before += "?..."
	}
	return before
}

func credentialOf(o *object) fleet.Credential {
	var spec fleet.Credential
	_ = json.Unmarshal(o.Spec, &spec)
	return spec
}

func placementOf(o *object) fleet.Placement {
	var spec fleet.Placement
	_ = json.Unmarshal(o.Spec, &spec)
	return spec
}

func placedApps(p fleet.Placement) string {
	var apps []string
	for _, app := range p.Apps {
		kind, _ := resource.KindOf(app.Kind)
		if kind.Name == "" {
			kind.Name = app.Kind
		}
		apps = append(apps, shortName(kind)+"/"+app.Name)
	}
	return strings.Join(apps, ",")
}

func chosenClusters(p fleet.Placement) string {
	if p.Clusters.EveryCluster() {
		return "every cluster"
	}
	parts := slices.Clone(p.Clusters.Names)
	if s := p.Clusters.Selector; s != nil {
		parts = append([]string{selectorText(*s)}, parts...)
	}
	return strings.Join(parts, ",")
}

func selectorText(s fleet.Selector) string {
	var parts []string
	if len(s.MatchLabels) > 0 {
		parts = append(parts, labelText(s.MatchLabels))
	}
	for _, r := range s.MatchExpressions {
		switch r.Operator {
		case "In":
			parts = append(parts, r.Key+" in ("+strings.Join(r.Values, ",")+")")
		case "NotIn":
			parts = append(parts, r.Key+" notin ("+strings.Join(r.Values, ",")+")")
		case "DoesNotExist":
			parts = append(parts, "!"+r.Key)
		default:
			parts = append(parts, r.Key)
		}
	}
	return strings.Join(parts, ",")
}

func labelText(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

// title is a bool as Kubernetes writes it.
func title(b bool) string {
	if b {
		return string(fleet.True)
	}
	return string(fleet.False)
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
