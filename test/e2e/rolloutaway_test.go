package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/test/lab"
)

// What happens to a fleet while Rollouts go through it: each finds the clusters well, and leaves them so.
func TestRolloutsOutliveWhatHappensToTheirFleet(t *testing.T) {
	t.Parallel()
	fleet := startFleet(t, lab.ThreeClusters()...)
	a := newRolled(t, fleet, "eventful", canaryFirst)
	for _, test := range []struct {
		name string
		test func(*app)
	}{
		{"a cluster is frozen", (*app).rollsPastFrozen},
		{"the fleet is frozen", (*app).waitsWhileFrozen},
		{"a cluster's owner holds the app", (*app).rollsPastHeld},
		{"a cluster is cut off before its turn", (*app).rollsPastOffline},
		{"a cluster is cut off once it was given the release", (*app).rollsPastLost},
		{"a cluster is cut off, which is a failure", (*app).haltsForLost},
		{"the hub is killed", (*app).hubIsKilled},
	} {
		t.Run(test.name, func(t *testing.T) { test.test(a.in(t)) })
	}
}

// A cluster that is frozen gets nothing new, is passed over, and catches up.
func (a *app) rollsPastFrozen() {
	one, two := a.fleet.Member("prod-1"), a.fleet.Member("prod-2")
	a.fleetctl("freeze", "prod-1", "--reason", "the fair")
	commit := a.rolls(a.web("frozen", ""))
	a.succeeds(commit)
	a.runs(two, "frozen")
	a.runs(one, "first")
	a.passedOver("prod-1", "Deferred Held")
	a.fleetctl("unfreeze", "prod-1")
	a.catchesUp(one, commit, "frozen")
}

// passedOver fails the test where the Rollout that has ended says something else of a cluster, or counts it as done.
func (a *app) passedOver(cluster, phase string) {
	a.t.Helper()
	r, err := a.rollout()
	if err != nil || r.cluster(cluster) != phase || r.Phase != "Succeeded" || r.Totals.Succeeded != 2 || r.Totals.Size != 3 {
		a.t.Errorf("%s is to be %q: %s, %+v, error %v", cluster, phase, r, r.Totals, err)
	}
}

// catchesUp waits until a cluster runs a commit, and has said so: the next Rollout finds it well.
func (a *app) catchesUp(m *lab.Member, commit, version string) {
	a.t.Helper()
	a.fleetctl("wait", "ks/app@"+m.Name(), "--for=revision="+commit, "--for=ready", "--timeout", patience.String())
	a.runs(m, version)
}

func (a *app) waitsWhileFrozen() {
	before := map[string]string{}
	for _, m := range a.fleet.Members {
		before[m.Name()] = a.touched(m)
	}
	a.fleetctl("freeze", "--reason", "no deployments on Fridays", "--confirm", fmt.Sprint(len(a.fleet.Members)))
	commit := a.rolls(a.web("thawed", ""))
	a.rollsUntil("the Rollout waits", func(r rolling) bool {
		return r.Phase == "Running" && r.Reason == "Frozen" && strings.Contains(r.Message, "Fridays")
	})
	for _, m := range a.fleet.Members {
		if now := a.touched(m); now != before[m.Name()] {
			a.t.Errorf("%s was touched: %s\nwas %s", m.Name(), now, before[m.Name()])
		}
	}
	a.fleetctl("unfreeze", "--confirm", fmt.Sprint(len(a.fleet.Members)))
	a.succeeds(commit)
}

// A cluster whose owner holds the app there is given the release, says that it applies nothing, and is passed over.
func (a *app) rollsPastHeld() {
	one, two := a.fleet.Member("prod-1"), a.fleet.Member("prod-2")
	a.hold(two, `"an audit"`)
	commit := a.rolls(a.web("held", ""))
	a.succeeds(commit)
	a.runs(one, "held")
	a.runs(two, "thawed")
	a.passedOver("prod-2", "Deferred Held")
	a.hold(two, "null")
	a.catchesUp(two, commit, "held")
}

// hold has an App's namespace in a cluster held, or with null no more.
func (a *app) hold(m *lab.Member, why string) {
	a.t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"fleet.flotilla.dev/hold":%s}}}`, why)
	if _, err := a.client(m).CoreV1().Namespaces().Patch(a.t.Context(), a.namespace, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		a.t.Fatal(err)
	}
}

// A cluster that is away neither blocks nor counts as done; it gets what is Stable when it comes back.
func (a *app) rollsPastOffline() {
	two := a.fleet.Member("prod-2")
	two.Spoke.Kill()
	a.says("cluster/prod-2", "Connected", "False")
	commit := a.rolls(a.web("offline", ""))
	a.succeeds(commit)
	a.passedOver("prod-2", "Deferred Offline")
	a.runs(two, "held")
	if err := two.Spoke.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.catchesUp(two, commit, "offline")
	a.passedOver("prod-2", "Deferred Offline") // what is over stays as it was
}

// One that was given the release and is not heard of again goes on by itself, and is lost, which the policy says is no failure.
func (a *app) rollsPastLost() {
	a.policy("eventful", canaryFirst+"  cluster: {unreachableTimeout: 2s, onLost: Defer}\n")
	two := a.fleet.Member("prod-2")
	commit, link := a.losesContact(two, "lost")
	a.succeeds(commit)
	a.passedOver("prod-2", "Deferred OutOfReach")
	a.comesBack(two, link)
	a.catchesUp(two, commit, "lost")
	a.reaches(two, nil)
}

// By default it is one: the Rollout is halted, until the cluster says that it is there after all and somebody goes on.
func (a *app) haltsForLost() {
	a.policy("eventful", canaryFirst+"  cluster: {unreachableTimeout: 2s}\n")
	two := a.fleet.Member("prod-2")
	commit, link := a.losesContact(two, "missed")
	a.ends(commit, 7, "prod-2: Lost")
	r := a.rollsUntil("the Rollout is halted", func(r rolling) bool { return r.Phase == "Halted" && r.cluster("prod-2") == "Failed Lost" })
	if r.Reason != "FailureBudget" || r.Totals.Failed != 1 {
		a.t.Errorf("a cluster is lost: %s", r)
	}
	a.comesBack(two, link)
	a.rollsUntil("prod-2 is there after all", func(r rolling) bool { return r.Phase == "Halted" && r.cluster("prod-2") == "Succeeded" })
	a.fleetctl("rollout", "resume", "ks/app")
	a.succeeds(commit)
	a.catchesUp(two, commit, "missed")
	a.reaches(two, nil)
}

// losesContact rolls a version out, and cuts the network of one of the last clusters while it is being updated. Its spoke goes on,
// and the cluster comes to serve the version; the hub does not hear it.
func (a *app) losesContact(m *lab.Member, version string) (commit string, link *lab.Link) {
	a.t.Helper()
	link = lab.TestLink(a.t, a.fleet.SpokeAddress())
	a.reaches(m, link)
	commit = a.rolls(a.web(version, lab.SlowAnnotation+": 1h"))
	a.startsUp(a.fleet.Member("canary-1"), version)
	a.rollsUntil(m.Name()+" has applied the release", func(r rolling) bool { return r.cluster(m.Name()) == "Verifying" })
	link.Cut()
	a.startsUp(m, version)
	a.startsUp(a.fleet.Member("prod-1"), version)
	return commit, link
}

// startsUp has the Pods of a version become ready in a cluster, which take an hour otherwise.
func (a *app) startsUp(m *lab.Member, version string) {
	a.t.Helper()
	web, pods := a.client(m).AppsV1().Deployments(a.namespace), a.client(m).CoreV1().Pods(a.namespace)
	patch := []byte(`{"metadata":{"annotations":{"` + lab.SlowAnnotation + `":null}}}`)
	lab.Eventually(a.t, patience, m.Name()+" serves "+version, func() error {
		if got, err := a.value(m, "app"); err != nil || got != version {
			return fmt.Errorf("it runs %q, error %v", got, err)
		}
		d, err := web.Get(a.t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if image := d.Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+version) {
			return fmt.Errorf("its Deployment is of %s", image)
		}
		s := d.Status
		if s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 1 && s.AvailableReplicas == 1 && s.Replicas == 1 {
			return nil
		}
		all, err := pods.List(a.t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			return err
		}
		for _, pod := range all.Items {
			if _, err := pods.Patch(a.t.Context(), pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		return fmt.Errorf("%d Pods, %+v", len(all.Items), s)
	})
}

// comesBack mends the network of a cluster.
func (a *app) comesBack(m *lab.Member, link *lab.Link) {
	a.t.Helper()
	if !m.Spoke.Running() {
		a.t.Errorf("the spoke of %s has ended while the hub was away", m.Name())
	}
	if err := link.Mend(); err != nil {
		a.t.Fatal(err)
	}
}

// reaches has a cluster's spoke reach the hub by a link, or by itself with nil.
func (a *app) reaches(m *lab.Member, by *lab.Link) {
	a.t.Helper()
	if err := a.fleet.Reach(a.t.Context(), m, by); err != nil {
		a.t.Fatal(err)
	}
	a.says("cluster/"+m.Name(), "Connected", "True")
}
