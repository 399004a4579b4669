package main

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// describeBlockers tells what keeps the object from being ready, and what a person can do about it.
func (a *app) describeBlockers(d *description) {
	var lines []string
	for _, o := range append([]*object{d.object}, d.instances...) {
		lines = append(lines, blockers(o, o != d.object)...)
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(a.stdout, "Blocked by:")
	more := len(lines) - maxInstances
	if more > 0 {
		lines = lines[:maxInstances]
	}
	for _, line := range lines {
		fmt.Fprintln(a.stdout, "  "+line)
	}
	if more > 0 {
		fmt.Fprintf(a.stdout, "  and %s\n", count(more, "more line"))
	}
}

// blockers are lines about one object; named: each begins with which instance it is.
func blockers(o *object, named bool) []string {
	var lines []string
	prefix := ""
	if named {
		prefix = o.ref().String() + ": "
	}
	for _, object := range o.Status.Fleet.NotReady {
		lines = append(lines, prefix+printer.Fold(notReadyText(object)))
	}
	if held := o.Status.Fleet.PruneHeld; held != nil {
		lines = append(lines, prefix+fmt.Sprintf("prune held: %s: %s", count(held.Count, "deletion"), printer.Fold(held.Reason)),
			"  see them: fleetctl prune show "+o.ref().command(),
			"  approve:  fleetctl prune approve "+o.ref().command()+" --digest "+held.Digest)
	}
	if o.kind.App && o.suspended() && !named {
		lines = append(lines, "it is suspended: fleetctl resume "+o.ref().command())
	}
	if safe := o.condition("SafeMode"); safe.Status == string(fleet.True) {
		lines = append(lines, "safe mode: "+printer.Fold(safe.Message), "  lead it out: fleetctl hub recover")
	}
	for _, unknown := range o.Status.UnknownAssignments {
		end := "fleetctl delete " + unknown + "@" + o.Metadata.Name + " --policy "
		lines = append(lines, "unknown to the hub, kept as it is: "+unknown,
			"  end it and leave its objects: "+end+"orphan",
			"  end it and delete them:       "+end+"delete")
	}
	return lines
}

// maxInstances bounds the clusters that a description lists; those that are not ready come first.
const maxInstances = 50

func (a *app) describeInstances(d *description) error {
	if len(d.instances) == 0 {
		return nil
	}
	title, header := "Clusters:", "CLUSTER"
	ofCluster := d.object.kind.Name == resource.Cluster.Name
	if ofCluster {
		title, header = "Apps:", "APP"
	}
	t := a.table(inColumn(2, printer.Good), header, "REVISION", "READY", "REPORTED", "MESSAGE")
	t.Indent = "  "
	instances := slices.Clone(d.instances)
	slices.SortStableFunc(instances, func(a, b *object) int { return readyRank(a) - readyRank(b) })
	more := len(instances) - maxInstances
	if more > 0 {
		instances = instances[:maxInstances]
	}
	fmt.Fprintln(a.stdout, title)
	for _, o := range instances {
		name := o.ref().cluster
		if ofCluster {
			name = o.Kind + "/" + o.Metadata.Namespace + "/" + o.Metadata.Name
		}
		t.Add(name, printer.Revision(o.revision()), o.condition("Ready").Status,
			printer.Age(moment(o.Status.Fleet.ReportedAt), a.now()), message(o))
	}
	if err := t.Flush(a.stdout); err != nil {
		return err
	}
	switch {
	case more > 0 && ofCluster:
		fmt.Fprintf(a.stdout, "  and %s: fleetctl get ks,hr -A -c %s\n", count(more, "more app"), d.object.Metadata.Name)
	case more > 0:
		fmt.Fprintf(a.stdout, "  and %s: fleetctl get %s -c '*'\n", count(more, "more cluster"), d.object.ref().command())
	}
	return nil
}

func readyRank(o *object) int {
	return slices.Index([]string{string(fleet.False), string(fleet.Unknown), string(fleet.True)}, o.condition("Ready").Status)
}
