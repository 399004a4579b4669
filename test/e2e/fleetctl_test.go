package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/test/lab"
)

// What a person sees of a fleet in which all is well, in every form that there is.
func TestEveryKindIsShownInEveryForm(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	commit := a.head()
	a.fleetctlWith(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git"},"stringData":{"password":"hunter2"}}`, "apply", "-f", "-")
	revision := "main@sha1:" + commit
	short := revision[:len("main@sha1:")+8]
	for _, test := range []struct {
		what, kind string
		// table and wide have these words, name has this line, json and yaml this many objects.
		table, wide []string
		name        string
		n           int
	}{
		{"gitrepo/app", "GitRepository", []string{"NAME", "REVISION", "READY", short, "True", "stored artifact"}, []string{"URL", a.url}, "gitrepository.source.toolkit.fluxcd.io/app", 1},
		{"sources", "GitRepository", []string{"NAME", short}, []string{a.url}, "gitrepository.source.toolkit.fluxcd.io/app", 1},
		{"ks/app", "Kustomization", []string{"CLUSTERS", short, "True", "3/3"}, []string{"SOURCE", "GitRepository/app"}, "kustomization.kustomize.toolkit.fluxcd.io/app", 1},
		{"ks/app@prod-1", "Kustomization", []string{"CLUSTER", "prod-1", short, "True"}, []string{"HEALTHY", "RELEASE", "sha256:"}, "kustomization.kustomize.toolkit.fluxcd.io/app@prod-1", 1},
		{"ks -c prod-1", "Kustomization", []string{"prod-1", short}, nil, "kustomization.kustomize.toolkit.fluxcd.io/app@prod-1", 1},
		{"ks/app -c *", "Kustomization", []string{"canary-1", "prod-1", "prod-2", short}, nil, "kustomization.kustomize.toolkit.fluxcd.io/app@prod-2", 3},
		{"placement app", "Placement", []string{"APPS", "ks/app", "MATCHED", "3", "True"}, []string{"canary-1,prod-1,prod-2"}, "placement.fleet.flotilla.dev/app", 1},
		{"cluster/prod-1", "Cluster", []string{"CONNECTED", "True", "K8S", "v1."}, []string{"LABELS", "region=eu-west,tier=prod"}, "cluster.fleet.flotilla.dev/prod-1", 1},
		{"secrets", "Secret", []string{"NAME", "TYPE", "git"}, nil, "secret/git", 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			get := func(format string) string {
				out := fleet.Fleetctl(t.Context(), append(strings.Fields("get "+test.what), "-o", format, "-n", a.namespace)...)
				if err := out.Err(); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(out.Stdout+out.Stderr, "hunter2") {
					t.Errorf("-o %s prints what a Secret holds", format)
				}
				return out.Stdout
			}
			says(t, "the table", get("table"), test.table...)
			says(t, "-o wide", get("wide"), append(test.table, test.wide...)...)
			says(t, "-o name", get("name"), test.name+"\n")
			for format, decode := range map[string]func([]byte, any) error{
				"json": json.Unmarshal, "yaml": func(data []byte, into any) error { return yaml.Unmarshal(data, into) },
			} {
				var one struct {
					Kind  string
					Items []struct{ Kind string }
				}
				if err := decode([]byte(get(format)), &one); err != nil {
					t.Fatalf("-o %s: %v", format, err)
				}
				if one.Kind != "List" {
					one.Items = append(one.Items, struct{ Kind string }{one.Kind})
				}
				if len(one.Items) != test.n || one.Items[0].Kind != test.kind {
					t.Errorf("-o %s has %+v", format, one)
				}
			}
		})
	}
}

func TestDescribeTellsOfAnObjectAllThatThereIs(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	revision := "main@sha1:" + a.head()
	for ref, words := range map[string][]string{
		"gitrepo/app":     {"Kind:         GitRepository", "Revision:     " + revision, "Digest:", "url: " + a.url, "Ready", "NewArtifact"},
		"ks/app":          {"Revision:     " + revision, "Fleet:        3/3 ready", "path: ./deploy", "Clusters:", "canary-1", "prod-2", "Events:", "Applied"},
		"ks/app@canary-1": {"Cluster:      canary-1", "Release:      sha256:", "Healthy", "Events:"},
		"placement/app":   {"Matched:      canary-1, prod-1, prod-2"},
		"cluster/prod-2":  {"Labels:       region=us-east,tier=prod", "Kubernetes:   v1.", "Connected", "Kustomization/" + a.namespace + "/app"},
	} {
		says(t, "describe "+ref, a.fleetctl("describe", ref), words...)
		var document struct {
			Object struct{ Kind string }
			Events []any
		}
		if err := json.Unmarshal([]byte(a.fleetctl("describe", ref, "-o", "json")), &document); err != nil || document.Object.Kind == "" || document.Events == nil {
			t.Errorf("describe %s -o json: %+v, %v", ref, document, err)
		}
	}
}

func TestTheFleetIsShownOnOneScreen(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	says(t, "status", a.fleetctl("status"), "FLEET lab   hub ", "CLUSTERS   3 ", "SOURCES ", "APPS ")
	var status struct {
		Clusters, Apps struct{ Total int }
		Troubles, Held []any
	}
	if err := json.Unmarshal([]byte(a.fleetctl("status", "-o", "json")), &status); err != nil || status.Clusters.Total != 3 || status.Apps.Total < 1 || status.Held == nil {
		t.Errorf("status -o json: %+v, %v", status, err)
	}
	says(t, "version", a.fleetctl("version"), "fleetctl  ", "hub       ", " in 3 clusters")
	says(t, "api-resources", a.fleetctl("api-resources"), "kustomizations", "ks", "placements", "clusters")
	says(t, "cluster list", a.fleetctl("cluster", "list"), "canary-1", "prod-1", "prod-2", "CONNECTED")
	if list, get := a.fleetctl("cluster", "list", "-o", "name"), a.fleetctl("get", "clusters", "-o", "name"); list != get {
		t.Errorf("cluster list names %q, get clusters %q", list, get)
	}
}

func TestEventsTellWhatHappenedToAnApp(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	lab.Eventually(t, patience, "every cluster tells that it applied the App", func() error {
		all := a.fleetctl("events", "--for", "ks/app", "--since", "1h")
		for _, m := range fleet.Members {
			if !strings.Contains(all, m.Name()) {
				return errors.New(all)
			}
		}
		return nil
	})
	one := a.fleetctl("events", "--for", "ks/app@prod-1")
	says(t, "events of one cluster", one, "Applied", "prod-1", "ConfigMap/"+a.namespace+"/app")
	if strings.Contains(one, "canary-1") {
		t.Errorf("events of prod-1 tell of another cluster:\n%s", one)
	}
	var list struct {
		Items []struct{ Reason, Cluster string }
	}
	if err := json.Unmarshal([]byte(a.fleetctl("events", "-o", "json")), &list); err != nil || len(list.Items) < len(fleet.Members) {
		t.Errorf("events -o json: %+v, %v", list, err)
	}
	if out := fleet.Fleetctl(t.Context(), "events", "--since", "1ms", "-n", a.namespace); out.Stdout != "" || !strings.Contains(out.Stderr, "No events found of the last 1ms") {
		t.Errorf("events of the last millisecond: %q, %q", out.Stdout, out.Stderr)
	}
}

func TestWatchFollowsAPushIntoEveryCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	whole := a.start("get", "ks/app", "-w", "-o", "json")
	each := a.start("get", "ks/app", "-w", "-c", "*", "-o", "json", "--output-watch-events")
	happened := a.start("events", "--for", "ks/app", "-w")
	whole.says(`"lastAppliedRevision"`)
	each.says(`"type":"ADDED"`)
	happened.says("LAST SEEN")
	revision := "main@sha1:" + a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second")})
	a.settle()
	whole.says(`"lastAppliedRevision":"` + revision + `"`)
	for _, m := range fleet.Members {
		lab.Eventually(t, patience, m.Name()+" is shown at the new revision", func() error {
			for line := range strings.Lines(each.String()) {
				if strings.Contains(line, `"fleet.flotilla.dev/cluster":"`+m.Name()+`"`) && strings.Contains(line, `"lastAppliedRevision":"`+revision+`"`) {
					return nil
				}
			}
			return errors.New("no line says so")
		})
	}
	happened.says("1 configured: ConfigMap/" + a.namespace + "/app")
	a.fleetctl("delete", "ks/app", "--confirm", fmt.Sprint(len(fleet.Members)))
	each.says(`"type":"DELETED"`)
	if code := whole.interrupt(); code != 130 {
		t.Errorf("exit code %d after Ctrl-C", code)
	}
}

func TestSuspendedAppRestsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	m := fleet.Members[1]
	a := newApp(t, fleet)
	a.push(map[string]string{"witness/witness.yaml": a.configMap("witness", "first")})
	a.fleetctlWith(strings.NewReplacer("NAMESPACE", a.namespace).Replace(witness), "apply", "-f", "-")
	a.settle()
	a.fleetctl("reconcile", "ks/witness", "--wait", "--timeout", patience.String())
	before := a.head()

	if said := a.fleetctl("suspend", "ks/app", "--dry-run"); !strings.Contains(said, "suspended (server dry run)") {
		t.Errorf("a dry run says %q", said)
	}
	a.fleetctl("wait", "ks/app", "--for=ready", "--timeout", "0") // it is not suspended by that
	a.fleetctl("suspend", "ks/app")
	says(t, "get", a.fleetctl("get", "ks/app", "--no-headers"), before[:8], "True")
	lab.Eventually(t, patience, "the cluster has heard of it", func() error {
		return a.acknowledged(m)
	})
	refused := fleet.Fleetctl(t.Context(), "reconcile", "ks/app", "-n", a.namespace)
	if refused.Code != 8 || !strings.Contains(refused.Stderr, "fleetctl resume") {
		t.Errorf("reconcile of a suspended App: %v", refused.Err())
	}

	// The other app takes a push, which its clusters hear of after the suspension, and undoes an edit: by then this one
	// would have too.
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "second"), "witness/witness.yaml": a.configMap("witness", "second")})
	a.fleetctl("reconcile", "ks/witness", "--with-source", "--wait", "--timeout", patience.String())
	a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.patch(m, "witness", "kubectl-edit", `{"data":{"value":"edited"}}`)
	a.data(m, "witness", map[string]string{"value": "second"})
	a.data(m, "app", map[string]string{"value": "edited"})
	for _, other := range fleet.Members {
		if value, err := a.value(other, "app"); other != m && (err != nil || value != "first") {
			t.Errorf("%s has %q, %v: the push reached a suspended App", other.Name(), value, err)
		}
	}
	if got := a.get("ks/app").Status.LastAppliedRevision; got != "main@sha1:"+before {
		t.Errorf("the suspended App is at %s", got)
	}

	a.fleetctl("resume", "ks/app", "--wait", "--timeout", patience.String())
	for _, other := range fleet.Members {
		a.data(other, "app", map[string]string{"value": "second"})
	}
	a.fleetctl("wait", "ks/app", "--for=revision="+a.head(), "--for=ready", "--timeout", patience.String())
}

// witness is another App on the same source and clusters.
const witness = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: witness, namespace: NAMESPACE}
spec: {interval: 1h, retryInterval: 1h, path: ./witness, prune: true, sourceRef: {kind: GitRepository, name: app}}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: witness, namespace: NAMESPACE}
spec:
  apps: [{kind: Kustomization, name: witness}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`

// acknowledged is nil once the spoke works from the newest desired state of its cluster.
func (a *app) acknowledged(m *lab.Member) error {
	var shown struct {
		Status struct{ State, AcknowledgedState string }
	}
	if err := json.Unmarshal([]byte(a.fleetctl("get", "cluster/"+m.Name(), "-o", "json")), &shown); err != nil {
		return err
	}
	if s := shown.Status; s.State == "" || s.State != s.AcknowledgedState {
		return fmt.Errorf("%s works from %s, the newest is %s", m.Name(), s.AcknowledgedState, s.State)
	}
	return nil
}

// head is the newest commit of the app's repository.
func (a *app) head() string {
	a.t.Helper()
	commit, err := a.repo.Git(a.t.Context(), "rev-parse", "HEAD")
	if err != nil {
		a.t.Fatal(err)
	}
	return strings.TrimSpace(commit)
}

func says(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q:\n%s", what, word, text)
		}
	}
}

// following is a fleetctl that goes on until it is interrupted.
type following struct {
	t   testing.TB
	cmd *exec.Cmd

	mu   sync.Mutex
	text strings.Builder
}

// start runs fleetctl in the app's namespace beside the test.
func (a *app) start(args ...string) *following {
	a.t.Helper()
	f := &following{t: a.t, cmd: exec.Command(filepath.Join(lab.TestBinaries(a.t), "fleetctl"), append(args, "--namespace", a.namespace)...)}
	f.cmd.Env = append(os.Environ(), "FLOTILLA_CONFIG="+a.fleet.ConfigFile())
	f.cmd.Stdout = f
	if err := f.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { f.interrupt() })
	return f
}

// interrupt is Ctrl-C; it returns the exit code. Of one that has ended it does nothing.
func (f *following) interrupt() int {
	_ = f.cmd.Process.Signal(syscall.SIGINT) // it may have ended
	_ = f.cmd.Wait()                         // the exit code says how
	return f.cmd.ProcessState.ExitCode()
}

func (f *following) Write(data []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.Write(data)
}

func (f *following) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

// says waits until the output holds the words.
func (f *following) says(words string) {
	f.t.Helper()
	lab.Eventually(f.t, patience, fmt.Sprintf("%s says %q", f.cmd.Args[1:], words), func() error {
		if text := f.String(); !strings.Contains(text, words) {
			return errors.New("it says:\n" + text)
		}
		return nil
	})
}
