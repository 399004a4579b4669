package main

import (
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/rpc"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// declared is what a person writes: in no order, and without namespaces where the context's is meant.
const declared = `# the fleet
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: app}
spec: {apps: [{kind: Kustomization, name: app}], clusters: {selector: {matchLabels: {env: prod}}}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app}
spec: {interval: 10m, prune: true, sourceRef: {kind: GitRepository, name: app}}
---
# nothing here
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app}
spec: {interval: 1m, url: "https://git.example.com/app.git"}
`

func TestApplyStoresInTheOrderOfReferences(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.ok("apply", "-f", b.write("fleet.yaml", declared))
	want(t, "stdout", r.stdout, `
gitrepository.source.toolkit.fluxcd.io/app created
kustomization.kustomize.toolkit.fluxcd.io/app created
placement.fleet.flotilla.dev/app created`)
	for _, request := range requestsOf[*adminv1.ApplyRequest](b.hub) {
		if !strings.Contains(string(request.GetObject()), `"namespace":"apps"`) {
			t.Errorf("the namespace is not the context's: %s", request.GetObject())
		}
	}
	want(t, "the second time", b.ok("apply", "-f", filepath.Join(b.dir, "fleet.yaml")).stdout, `
gitrepository.source.toolkit.fluxcd.io/app unchanged
kustomization.kustomize.toolkit.fluxcd.io/app unchanged
placement.fleet.flotilla.dev/app unchanged`)
	changed := b.write("fleet.yaml", strings.Replace(declared, "interval: 1m", "interval: 2m", 1))
	wantTexts(t, "stdout", b.ok("apply", "-f", changed).stdout, "gitrepository.source.toolkit.fluxcd.io/app configured")
	if document := parseJSON(t, b.ok("apply", "-f", changed, "-o", "json").stdout); len(document["items"].([]any)) != 3 {
		t.Errorf("-o json gives %v", document)
	}
	want(t, "-o name", b.ok("apply", "-f", changed, "-o", "name").stdout, `
gitrepository.source.toolkit.fluxcd.io/app
kustomization.kustomize.toolkit.fluxcd.io/app
placement.fleet.flotilla.dev/app`)
}

func TestApplyTakesDirectoriesStdinListsAndJSON(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.write("dir/a.yaml", declared)
	b.write("dir/notes.txt", "not: yaml: at all")
	b.write("dir/deep/b.json", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"one"}}
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"two"}}`)
	if lines := strings.Count(b.ok("apply", "-f", filepath.Join(b.dir, "dir")).stdout, "\n"); lines != 3 {
		t.Errorf("a directory gave %d objects, want 3", lines)
	}
	r := b.ok("apply", "-R", "-f", filepath.Join(b.dir, "dir"))
	wantTexts(t, "stdout", r.stdout, "secret/one created", "secret/two created")
	b.stdin = b.ok("get", "sources,ks,placements", "-o", "yaml").stdout
	if lines := strings.Count(b.ok("apply", "-f", "-").stdout, "unchanged\n"); lines != 3 {
		t.Errorf("what `get -o yaml` gave is not unchanged: %d", lines)
	}
	b.fails(exitUsage, []string{"holds no .yaml"}, "apply", "-f", filepath.Join(b.dir, "flotilla", "tokens"))
	b.fails(exitUsage, []string{"nope.yaml: no such file"}, "apply", "-f", "nope.yaml")
	b.stdin = "# nothing\n---\n"
	b.fails(exitUsage, []string{"nothing to apply"}, "apply", "-f", "-")
}

func TestApplyTellsEveryProblemOfEveryDocumentAndStoresNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	bad := b.write("bad.yaml", `apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app}
spec:
  interval: soon
  prune: true
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app}
spec: {url: "ssh://git/app", ref: {semvers: 1.x}}
---
kind: [broken
---
apiVersion: helm.toolkit.fluxcd.io/v1
kind: HelmRelease
metadata: {name: app}
`)
	good := b.write("good.yaml", declared)
	b.fails(exitUsage, []string{
		"Error: nothing was applied: 8 problems",
		bad + `, document 1 (line 1): Kustomization/apps/app: spec.interval: "soon" is not a duration`,
		bad + ", document 2 (line 8): GitRepository/apps/app: spec.ref.semvers: not supported yet",
		bad + ", document 3 (line 13): yaml: line 13: did not find expected ',' or ']'",
		bad + ", document 4 (line 15): HelmRelease app: kind HelmRelease of helm.toolkit.fluxcd.io/v1 is not supported yet",
		good + ", document 3 (line 14): GitRepository/apps/app: is given twice",
	}, "apply", "-f", bad, "-f", good)
	if requests := requestsOf[*adminv1.ApplyRequest](b.hub); len(requests) > 0 {
		t.Errorf("%d objects were sent", len(requests))
	}
}

func TestApplyStoresNothingWhenTheHubRefusesOne(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.fail("Apply", rpc.Status(fleetError("Placement/apps/app: invalid: Kustomization/apps/app is placed by Placement/apps/other")))
	r := b.fails(exitUsage, []string{"nothing was applied: 3 problems", "fleet.yaml, document 1 (line 1): Placement/apps/app: invalid: Kustomization/apps/app is placed by"},
		"apply", "-f", b.write("fleet.yaml", declared))
	want(t, "stdout", r.stdout, "")
	for _, request := range requestsOf[*adminv1.ApplyRequest](b.hub) {
		if !request.GetDryRun() {
			t.Error("an object was sent to be stored")
		}
	}
	b.hub.fail("Apply", status.Error(codes.PermissionDenied, "token may not apply in namespace apps"))
	b.fails(exitDenied, []string{"token may not apply in namespace apps"}, "apply", "-f", filepath.Join(b.dir, "fleet.yaml"))
}

// fleetError is fleet.ErrInvalid with a text of its own.
type fleetError string

func (e fleetError) Error() string { return string(e) }
func (e fleetError) Unwrap() error { return fleet.ErrInvalid }

func TestApplyRefusesWhatIsNoDeclaration(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.stdin = b.ok("get", "ks/app@prod-1", "-o", "yaml").stdout
	b.fails(exitUsage, []string{"stdin, document 1", "this is what cluster prod-1 runs, not an object that is declared"}, "apply", "-f", "-")
	b.stdin = declared + "---\n" + ksApp
	b.fails(exitUsage, []string{"metadata.namespace: is apps, and -n says other"}, "apply", "-f", "-", "-n", "other")
	b.stdin = "apiVersion: v1\nkind: Secret\nmetadata: {name: y}\n"
	b.fails(exitUsage, []string{"metadata.name: is a boolean and should be a string: in YAML, text such as y, no, on or 1.0 needs quotes"}, "apply", "-f", "-")
}

func TestApplyDryRunStoresNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.impact("app", &adminv1.Impact{Clusters: 3, Summary: "places ks/app in 3 clusters"})
	r := b.ok("apply", "--dry-run", "-f", b.write("fleet.yaml", declared))
	wantTexts(t, "stdout", r.stdout, "placement.fleet.flotilla.dev/app created (server dry run)")
	wantTexts(t, "stderr", r.stderr, "places ks/app in 3 clusters")
	b.fails(exitNotFound, nil, "get", "ks/app")
}

func TestApplyAsksForTheNumberOfClustersWhereObjectsMayGoOrEveryClusterIsMeant(t *testing.T) {
	t.Parallel()
	deletes := &adminv1.Impact{Clusters: 3, Deletes: true, Summary: "takes ks/app out of 3 clusters"}
	every := &adminv1.Impact{Clusters: 12, EveryCluster: true}
	for _, test := range []struct {
		name    string
		impact  *adminv1.Impact
		tty     bool
		typed   string
		args    []string
		code    exitCode
		texts   []string
		confirm int // -1: nothing is stored
	}{
		{"typed", deletes, true, "3\n", nil, exitDone, []string{"takes ks/app out of 3 clusters", "Type the number of clusters (3)"}, 3},
		{"every cluster, typed", every, true, "12\n", nil, exitDone, []string{"it means every cluster there is or will be"}, 12},
		{"wrong number typed", deletes, true, "2\n", nil, exitUsage, []string{"not confirmed: nothing was changed"}, -1},
		{"yes typed", deletes, true, "yes\n", nil, exitUsage, []string{"not confirmed"}, -1},
		{"nothing typed", deletes, true, "", nil, exitUsage, []string{"not confirmed"}, -1},
		{"no terminal", deletes, false, "", nil, exitUsage, []string{"this has to be confirmed", "try: --confirm=3"}, -1},
		{"-y", deletes, false, "", []string{"-y"}, exitUsage, []string{"-y is not enough here"}, -1},
		{"-y on a terminal", deletes, true, "\n", []string{"-y"}, exitUsage, []string{"not confirmed"}, -1},
		{"given", deletes, false, "", []string{"--confirm=3"}, exitDone, nil, 3},
		{"given wrong", deletes, true, "3\n", []string{"--confirm=2"}, exitUsage, []string{"--confirm says 2, and it is 3 clusters"}, -1},
		{"harmless", &adminv1.Impact{Clusters: 3}, false, "", nil, exitDone, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			b.tty, b.stdin = test.tty, test.typed
			b.hub.impact("app", test.impact)
			file := b.write("pl.yaml", strings.Split(declared, "---")[0])
			b.fails(test.code, test.texts, append([]string{"apply", "-f", file}, test.args...)...)
			stored := false
			for _, request := range requestsOf[*adminv1.ApplyRequest](b.hub) {
				if request.GetDryRun() {
					continue
				}
				stored = true
				if int(request.GetConfirm()) != test.confirm {
					t.Errorf("sent with confirm %d, want %d", request.GetConfirm(), test.confirm)
				}
			}
			if stored != (test.confirm >= 0) {
				t.Errorf("stored: %v", stored)
			}
		})
	}
}

func TestApplyOfWhatIsDeclaredAlreadyNeedsNoConfirmation(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	file := b.write("fleet.yaml", declared)
	b.ok("apply", "-f", file)
	b.hub.impact("app", &adminv1.Impact{Clusters: 3, EveryCluster: true})
	wantTexts(t, "stdout", b.ok("apply", "-f", file).stdout, "placement.fleet.flotilla.dev/app unchanged")
}

func TestApplyCountsTheClustersThatAreDeclaredWithAPlacementOfAll(t *testing.T) {
	t.Parallel()
	for name, clusters := range map[string]string{"extends": "selector: {}}", "extends and deletes": "selector: {}}, onUnmatch: Prune"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t) // two clusters
			every := strings.Replace(strings.Split(declared, "---")[0], "selector: {matchLabels: {env: prod}}}", clusters, 1)
			file := b.write("all.yaml", every+"---\n"+strings.Replace(clusterProd, "name: prod-1", "name: eu-1", 1))
			b.fails(exitUsage, []string{"--confirm says 2, and it is 3 clusters", "1 cluster declared with it"}, "apply", "-f", file, "--confirm=2")
			want(t, "stdout", b.ok("apply", "-f", file, "--confirm=3").stdout, `
cluster.fleet.flotilla.dev/eu-1 created
placement.fleet.flotilla.dev/app configured`)
		})
	}
}

func TestApplyDoesNotGoOnWithMoreClustersThanWereConfirmed(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	every := strings.Replace(strings.Split(declared, "---")[0], "selector: {matchLabels: {env: prod}}", "selector: {}", 1)
	file := b.write("all.yaml", every+"---\n"+strings.Replace(clusterProd, "name: prod-1", "name: eu-1", 1))
	b.hub.applied = func(r *adminv1.ApplyRequest) { // another cluster is registered meanwhile
		if strings.Contains(string(r.GetObject()), "eu-1") {
			b.hub.put(t, strings.Replace(clusterProd, "name: prod-1", "name: eu-2", 1))
		}
	}
	b.fails(exitPrecondition, []string{"1 of 2 objects were not applied", "3 clusters were confirmed, and it concerns 4 now: look again"}, "apply", "-f", file, "--confirm=3")
}

func TestEachObjectHasTheTimeoutToItself(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.expire = make(chan struct{})
	started := 0
	b.timeouts = func() { started++ }
	b.ok("apply", "-f", b.write("fleet.yaml", declared), "--timeout", "1h")
	if started != 6 { // each planned and stored
		t.Errorf("%d timeouts for 3 objects that are planned and stored", started)
	}
}

func TestApplyWithWaitEndsWhenEverythingIsReady(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.start("apply", "--wait", "--timeout", "1h", "-f", b.write("fleet.yaml", declared))
	r.stderr.says(t, "waiting for ks/app to be ready")
	r.stderr.says(t, "waiting for gitrepo/app to be ready")
	b.hub.put(t, gitApp+"\n---\n"+ksApp+"\n---\n"+placementApp)
	if code := r.wait(); code != 0 {
		t.Errorf("exit %d: %s", code, r.stderr)
	}
}

func TestApplyWithWaitTellsAProgramOnceHowItEnded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.applied = func(*adminv1.ApplyRequest) { b.hub.put(t, gitApp+"\n---\n"+ksApp+"\n---\n"+placementApp) }
	file := b.write("fleet.yaml", declared+"---\n"+secretGit)
	for _, item := range parseJSON(t, b.ok("apply", "--wait", "-f", file, "-o", "json").stdout)["items"].([]any) {
		o := item.(map[string]any)
		if o["kind"] != "Secret" && o["status"] == nil {
			t.Errorf("%s is not as it was when it was ready: %v", o["kind"], o)
		}
	}
	want(t, "-o name", b.ok("apply", "--wait", "-f", file, "-o", "name").stdout, `
secret/git
gitrepository.source.toolkit.fluxcd.io/app
kustomization.kustomize.toolkit.fluxcd.io/app
placement.fleet.flotilla.dev/app`)
}

func TestApplyWhoseWaitFailsTellsAProgramOnceWhatWasApplied(t *testing.T) {
	t.Parallel()
	for format, check := range map[string]func(t *testing.T, stdout string){
		"json": func(t *testing.T, stdout string) {
			if items := parseJSON(t, stdout)["items"].([]any); len(items) != 3 {
				t.Errorf("-o json tells of %d objects", len(items))
			}
		},
		"name": func(t *testing.T, stdout string) {
			if lines := strings.Count(stdout, "\n"); lines != 3 {
				t.Errorf("-o name has %d lines:\n%s", lines, stdout)
			}
		},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			check(t, b.timesOut("apply", "--wait", "-f", b.write("fleet.yaml", declared), "-o", format).stdout)
		})
	}
}
