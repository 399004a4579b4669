package main

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const (
	setOne = "sha256:1111222233334444111122223333444411112222333344441111222233334444"
	setTwo = "sha256:5555666677778888555566667777888855556666777788885555666677778888"
)

// newHeld is a fleet in which the prune guard holds two sets of deletions.
func newHeld(t *testing.T) *bundle {
	b := newFleet(t)
	b.hub.held = []*adminv1.HeldSet{
		{Digest: setOne, Clusters: []string{"prod-1", "prod-2"}, Reason: "the new set is empty", Count: 2, Objects: []string{"ConfigMap/apps/a", "Deployment/apps/web"}},
		{Digest: setTwo, Clusters: []string{"canary-1"}, Reason: "a Namespace would go", Count: 1, ObjectsUnknown: "canary-1 is not connected"},
	}
	return b
}

func TestPruneShowTellsWhatIsHeldAndHowToApproveIt(t *testing.T) {
	t.Parallel()
	b := newHeld(t)
	r := b.ok("prune", "show", "ks/app")
	want(t, "stdout", r.stdout, `
Digest:    `+setOne+`
Clusters:  prod-1, prod-2
Reason:    the new set is empty
Objects:   2
  ConfigMap/apps/a
  Deployment/apps/web

Digest:    `+setTwo+`
Clusters:  canary-1
Reason:    a Namespace would go
Objects:   1
  which ones is not known now: canary-1 is not connected`)
	wantTexts(t, "stderr", r.stderr, "fleetctl prune approve ks/app -n apps --digest "+setOne)
	if items := parseJSON(t, b.ok("prune", "show", "ks/app@canary-1", "-o", "json").stdout)["items"].([]any); len(items) != 1 {
		t.Errorf("of one cluster: %v", items)
	}
	b.hub.held = nil
	wantTexts(t, "stderr", b.ok("prune", "show", "ks/app").stderr, "no deletions of ks/app are held")
}

func TestPruneApproveIsBoundToOneSetAndConfirmedByCount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		args  string
		typed string
		code  exitCode
		texts []string
		sent  string
	}{
		{"several sets", "ks/app --confirm=2", "", exitUsage, []string{"several sets", setOne + ": 2 objects in prod-1, prod-2", setTwo}, ""},
		{"digest", "ks/app --confirm=2 --digest " + setOne, "", exitDone, nil, setOne},
		{"short digest", "ks/app --confirm=2 --digest 11112222", "", exitDone, nil, setOne},
		{"too short digest", "ks/app --confirm=2 --digest 1111", "", exitNotFound, []string{"the set may have changed"}, ""},
		{"by cluster", "ks/app@canary-1 --confirm=1", "", exitDone, nil, setTwo},
		{"set of other clusters too", "ks/app@prod-1 --confirm=2", "", exitUsage, []string{"--confirm says 2, and it is 1 cluster", "deletes 2 objects in prod-1"}, ""},
		{"in one of its clusters", "ks/app@prod-1 --confirm=1", "", exitDone, nil, setOne},
		{"not confirmed", "ks/app@canary-1", "", exitUsage, []string{"this has to be confirmed"}, ""},
		{"typed", "ks/app@prod-2", "1\n", exitDone, []string{"Deployment/apps/web", "deletes 2 objects in prod-2"}, setOne},
		{"nothing held there", "ks/app@prod-9 --confirm=1", "", exitNotFound, []string{"fleetctl prune show ks/app@prod-9"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newHeld(t)
			b.tty, b.stdin = test.typed != "", test.typed
			r := b.fails(test.code, test.texts, append([]string{"prune", "approve"}, strings.Fields(test.args)...)...)
			requests := requestsOf[*adminv1.ApproveRequest](b.hub)
			if test.sent == "" {
				if len(requests) > 0 {
					t.Errorf("sent %v", requests)
				}
				return
			}
			if len(requests) != 1 || requests[0].GetDigest() != test.sent {
				t.Fatalf("sent %v", requests)
			}
			wantTexts(t, "stdout", r.stdout, " approved sha256:")
		})
	}
}

func TestStatusIsOneScreen(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.status = &adminv1.StatusResponse{
		HubVersion: "v0.3.1",
		Clusters:   &adminv1.Counts{Total: 5, Ready: 2, Failed: 2, Unknown: 1},
		Sources:    &adminv1.Counts{Total: 1, Ready: 1},
		Apps:       &adminv1.Counts{Total: 2, Ready: 1, Progressing: 1, Suspended: 1},
		SafeMode:   []string{"prod-2"},
		Held:       []*adminv1.Trouble{{Object: "Kustomization/apps/app", Clusters: []string{"prod-1"}, Message: "12 deletions: the new set is empty"}},
		Troubles: []*adminv1.Trouble{
			{Object: "Kustomization/apps/app", Clusters: []string{"prod-1", "prod-3", "prod-4", "prod-5"}, Message: "Deployment/apps/web:\n\tImagePullBackOff"},
			{Object: "GitRepository/apps/app", Message: "authentication failed"},
		},
	}
	want(t, "stdout", b.ok("status").stdout, `
FLEET test   hub v0.3.1
CLUSTERS   5   ✔ 2 ready   ✗ 2 failed   ⚠ 1 unknown
SOURCES    1   ✔ 1 ready
APPS       2   ✔ 1 ready   ◎ 1 progressing   ► 1 suspended
SAFE MODE  prod-2: nothing is sent there   → fleetctl hub recover
PRUNES HELD
  ⚠ Kustomization/apps/app in prod-1: 12 deletions: the new set is empty   → fleetctl prune show Kustomization/apps/app
TROUBLES
  ✗ Kustomization/apps/app in 4 clusters (prod-1, prod-3, prod-4, ...): Deployment/apps/web: ImagePullBackOff   → fleetctl describe Kustomization/apps/app@prod-1
  ✗ GitRepository/apps/app: authentication failed   → fleetctl describe GitRepository/apps/app`)
	document := parseJSON(t, b.ok("status", "-o", "json").stdout)
	if document["clusters"].(map[string]any)["failed"] != 2.0 || len(document["troubles"].([]any)) != 2 {
		t.Errorf("-o json gives %v", document)
	}
	b.env["LC_ALL"] = "C"
	wantTexts(t, "stdout without UTF-8", b.ok("status").stdout, "ok 2 ready   x 2 failed", "-> fleetctl hub recover")
	if r := b.ok("status"); strings.ContainsFunc(r.stdout, func(c rune) bool { return c > 127 }) {
		t.Errorf("without UTF-8:\n%s", r.stdout)
	}
	b.ok("describe", "Kustomization/apps/app@prod-1", "-n", "elsewhere") // what the screen says can be pasted
}

func TestStatusIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.start("status", "-w")
	r.stdout.says(t, "CLUSTERS   0   ✔ 0 ready")
	b.hub.fail("Status", status.Error(codes.Unavailable, "away"))
	r.stderr.says(t, "the connection to the hub is lost")
	b.hub.mu.Lock()
	b.hub.status = &adminv1.StatusResponse{Clusters: &adminv1.Counts{Total: 7, Ready: 7}}
	b.hub.mu.Unlock()
	b.hub.fail("Status", nil)
	r.stdout.says(t, "CLUSTERS   7   ✔ 7 ready")
	r.interrupt()
	if code := r.wait(); code != int(exitInterrupted) {
		t.Errorf("exit %d", code)
	}
}

func TestFollowedStatusIsAStreamOfDocuments(t *testing.T) {
	t.Parallel()
	for format, read := range map[string]func(t *testing.T, stdout string) []map[string]any{
		"json": func(t *testing.T, stdout string) (documents []map[string]any) {
			for line := range strings.Lines(stdout) {
				documents = append(documents, parseJSON(t, line))
			}
			return documents
		},
		"yaml": func(t *testing.T, stdout string) (documents []map[string]any) {
			for _, text := range strings.Split(stdout, "---\n")[1:] {
				var value map[string]any
				if err := yaml.UnmarshalStrict([]byte(text), &value); err != nil {
					t.Fatalf("not one YAML document: %v\n%s", err, text)
				}
				documents = append(documents, value)
			}
			return documents
		},
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			r := b.start("status", "-w", "-o", format)
			r.stdout.says(t, "troubles")
			b.hub.mu.Lock()
			b.hub.status = &adminv1.StatusResponse{HubVersion: "v0.4.0", Clusters: &adminv1.Counts{Total: 7, Ready: 7}}
			b.hub.mu.Unlock()
			r.stdout.says(t, "v0.4.0")
			r.interrupt()
			r.wait()
			documents := read(t, r.stdout.String())
			if len(documents) != 2 || documents[1]["clusters"].(map[string]any)["ready"] != 7.0 {
				t.Errorf("%d documents, want one at first and one a change:\n%s", len(documents), r.stdout)
			}
		})
	}
}

func TestRegisterPrintsHowTheSpokeJoins(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.ok("cluster", "register", "eu-1", "--label", "env=prod", "--label", "region=eu", "--ttl", "2h")
	want(t, "stdout", r.stdout, "flotilla-spoke run --hub hub.example.com:8443 --token fl1.id.secret.pin")
	wantTexts(t, "stderr", r.stderr, "cluster eu-1 is registered", "until 2026-03-01T13:00:00Z", "not shown again")
	if strings.Contains(r.stderr, "secret") {
		t.Errorf("stderr holds the token:\n%s", r.stderr)
	}
	request := requestsOf[*adminv1.RegisterRequest](b.hub)[0]
	if request.GetLabels()["region"] != "eu" || request.GetTtl().AsDuration().Hours() != 2 || request.GetRejoin() {
		t.Errorf("sent %v", request)
	}
	want(t, "token", b.ok("cluster", "register", "eu-1", "--print", "token").stdout, "fl1.id.secret.pin")
	want(t, "env", b.ok("cluster", "register", "eu-1", "--print", "env").stdout, "FLOTILLA_SPOKE_HUB=hub.example.com:8443\nFLOTILLA_SPOKE_TOKEN=fl1.id.secret.pin")
	if document := parseJSON(t, b.ok("cluster", "register", "eu-1", "-o", "json").stdout); document["token"] != "fl1.id.secret.pin" {
		t.Errorf("-o json gives %v", document)
	}
	b.hub.fail("Register", status.Error(codes.AlreadyExists, "cluster eu-1 has enrolled"))
	b.fails(exitPrecondition, []string{"cluster eu-1 has enrolled", "try: --rejoin"}, "cluster", "register", "eu-1")
}

func TestRecoverTellsWhatItDid(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	want(t, "stdout", b.ok("hub", "recover").stdout, "prod-1, prod-2 left safe mode; 3 sources resolved anew")
	if document := parseJSON(t, b.ok("hub", "recover", "-o", "json").stdout); document["sources"] != 3.0 {
		t.Errorf("-o json gives %v", document)
	}
}

func TestVersionTellsOfClientHubAndSpokes(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	wantTexts(t, "stdout", b.ok("version").stdout, "fleetctl  ", "hub       v0.3.1 (go1.26, schema 7)", "spokes    v0.3.0 in 1 cluster", "spokes    v0.3.1 in 2 clusters")
	document := parseJSON(t, b.ok("version", "-o", "json").stdout)
	if document["hub"].(map[string]any)["version"] != "v0.3.1" {
		t.Errorf("-o json gives %v", document)
	}
	if r := newBareBundle(t).ok("version", "--client"); strings.Contains(r.stdout, "hub") {
		t.Errorf("--client asks the hub:\n%s", r.stdout)
	}
	b.hub.fail("Version", status.Error(codes.Unavailable, "connection refused"))
	r := b.fails(exitUnreachable, []string{"cannot reach hub hub.example.com:9443"}, "version")
	wantTexts(t, "stdout", r.stdout, "fleetctl  ")
}

func TestAPIResourcesListsEveryKind(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	wantTexts(t, "stdout", b.ok("api-resources").stdout, "NAME", "kustomizations", "ks", "kustomize.toolkit.fluxcd.io/v1", "secrets")
	wantTexts(t, "-o name", b.ok("api-resources", "-o", "name").stdout, "kustomizations.kustomize.toolkit.fluxcd.io\n", "secrets\n")
	if document := parseJSON(t, b.ok("api-resources", "-o", "json").stdout); len(document["resources"].([]any)) != len(resource.Kinds()) {
		t.Errorf("-o json gives %v", document)
	}
	wantTexts(t, "-o wide", b.ok("api-resources", "-o", "wide").stdout, "CATEGORY")
}

func TestDescribeTellsWhatBlocksAnInstanceAndWhatToDo(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	e := event(59, true, "HealthCheckFailed", "prod-1")
	e.Object = "Deployment/apps/web"
	b.hub.emit(e)
	want(t, "stdout", b.ok("describe", "ks/app@prod-1").stdout, `
Name:         app
Namespace:    apps
Cluster:      prod-1
Kind:         Kustomization (kustomize.toolkit.fluxcd.io/v1)
Attempted:    main@sha1:ffff056df216eea4f9401adbee0ff744d4df390f
Generation:   5
Reported:     60s ago
Spec:
  interval: 10m
  path: ./deploy
  prune: true
  sourceRef:
    kind: GitRepository
    name: app
  wait: true
Conditions:
  TYPE        STATUS   AGE   REASON              MESSAGE
  Ready       False    -     HealthCheckFailed   health check failed
  Healthy     False    -     -                   -
  PruneHeld   True     -     PruneHeld           -
Blocked by:
  Deployment/apps/web InProgress: ImagePullBackOff: registry/app:2
  prune held: 12 deletions: the new set is empty
    see them: fleetctl prune show ks/app@prod-1 -n apps
    approve:  fleetctl prune approve ks/app@prod-1 -n apps --digest sha256:1111222233334444
Events:
  LAST SEEN   TYPE      REASON              CLUSTER   OBJECT                MESSAGE
  60s         Warning   HealthCheckFailed   prod-1    Deployment/apps/web   HealthCheckFailed it is`)
}

func TestDescribeOfAnAppListsItsClustersAndThoseThatFailFirst(t *testing.T) {
	t.Parallel()
	r := newFleet(t).ok("describe", "ks/app")
	wantTexts(t, "stdout", r.stdout,
		"Labels:       team=a", "Revision:     main@sha1:696f056df216eea4f9401adbee0ff744d4df390f",
		"Fleet:        3/3 ready", "ks/app@prod-1: Deployment/apps/web InProgress", "5m    ReconciliationSucceeded",
		"CLUSTER    REVISION             READY   REPORTED   MESSAGE\n  prod-1     -", "\n  canary-1   main@sha1:696f056d   True    30s")
}

func TestDescribeOfAClusterListsItsAppsAndWhatIsUnknown(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	wantTexts(t, "stdout", b.ok("describe", "cluster/prod-1").stdout, "Kubernetes:   v1.36.3", "Last seen:    2s ago", "APP", "Kustomization/apps/app")
	wantTexts(t, "stdout", b.ok("describe", "cluster/prod-2").stdout, "safe mode: the hub is behind this cluster", "fleetctl hub recover",
		"unknown to the hub, kept as it is: Kustomization/apps/old", "fleetctl delete Kustomization/apps/old@prod-2 --policy orphan\n", "fleetctl delete Kustomization/apps/old@prod-2 --policy delete\n")
	wantTexts(t, "stdout", b.ok("describe", "placement/app").stdout, "Matched:      canary-1, prod-1, prod-2")
	b.fails(exitNotFound, []string{"describe ks/nope"}, "describe", "ks/nope")
}

// Rule: what a program reads from stdout is one document, whatever is told on stderr.
func TestEveryCommandWithJSONGivesOneDocumentOnStdout(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"get ks", "get ks/app", "describe ks/app", "describe ks/app gitrepo/app", "suspend ks/app gitrepo/app", "reconcile ks/app gitrepo/app", "describe cluster/prod-1", "status", "events", "api-resources", "apply --dry-run -f FILE", "apply -f FILE",
		"apply -f FILE --wait", "delete ks/app", "delete ks/app --wait", "delete ks/app placement/app --wait", "delete ks/app placement/app --dry-run", "reconcile ks/app", "suspend ks/app", "resume ks/app", "wait ks/app", "wait ks/app placement/app",
		"prune show ks/app", "prune approve ks/app@canary-1 --confirm=1", "cluster register x", "cluster list", "hub recover", "config view", "config get-contexts", "version", "version --client",
		"get rollouts", "get rp", "targets ks/app", "freeze --show", "freeze prod-1 --reason x", "freeze --reason x --confirm=2", "unfreeze --confirm=2", "rollout plan ks/app", "rollout start ks/app -y",
		"rollout status ks/app -w=false", "rollout history ks/app", "rollout list", "rollout pause ks/app", "rollout resume ks/app", "rollout approve ks/app -y --gate prod-go",
		"rollout skip-gate ks/app -y --gate prod-go --reason x", "rollout retry-cluster ks/app --all-failed", "rollout skip-cluster ks/app eu-2 -y",
		"rollout rollback ks/app -y", "rollout cancel ks/app -y", "rollout wait ro-done", "rollout status ro-done", "describe rp/prod",
	} {
		for _, format := range []string{"json", "yaml"} {
			t.Run(args+" "+format, func(t *testing.T) {
				t.Parallel()
				b := newHeld(t)
				b.hub.put(t, policyYAML)
				b.rolling()
				b.hub.rolled.plan = testPlan()
				done := testRollout()
				done.Id, done.AppName = "ro-done", "done"
				succeed(done)
				b.hub.putRollout(done)
				b.hub.applied = func(*adminv1.ApplyRequest) { b.hub.put(t, gitApp+"\n---\n"+ksApp+"\n---\n"+placementApp) }
				b.hub.deleted = func(*adminv1.DeleteRequest) { b.hub.removeInstances("Kustomization", "apps", "app") }
				file := b.write("fleet.yaml", declared)
				r := b.ok(append(strings.Fields(strings.Replace(args, "FILE", file, 1)), "-o", format)...)
				if format == "json" {
					parseJSON(t, r.stdout)
					return
				}
				var value map[string]any
				if err := yaml.UnmarshalStrict([]byte(r.stdout), &value); err != nil {
					t.Errorf("not one YAML document: %v\n%s", err, r.stdout)
				}
			})
		}
	}
}

func TestQuietSilencesNarrationAndNothingElse(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	r := b.ok("reconcile", "ks/app", "-q")
	want(t, "stderr", r.stderr, "")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app requested")
	b.fails(exitNotFound, []string{"Error: "}, "get", "ks/nope", "-q")
}

func TestColoursAreForTerminalsUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want bool
	}{
		{"pipe", nil, nil, false},
		{"always", nil, []string{"--color=always"}, true},
		{"never", map[string]string{"CLICOLOR_FORCE": "1"}, []string{"--color=never"}, false},
		{"forced", map[string]string{"CLICOLOR_FORCE": "1"}, nil, true},
		{"by environment", map[string]string{"FLOTILLA_COLOR": "always"}, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			for key, value := range test.env {
				b.env[key] = value
			}
			r := b.ok(append([]string{"get", "ks"}, test.args...)...)
			if got := strings.Contains(r.stdout, "\x1b["); got != test.want {
				t.Errorf("colours: %v", got)
			}
		})
	}
	a := newFleet(t).app(nil, nil)
	a.flags.color = "auto"
	if !a.colours(true) {
		t.Error("a terminal has no colours")
	}
	for _, variable := range []string{"NO_COLOR=1", "TERM=dumb"} {
		name, value, _ := strings.Cut(variable, "=")
		a.env = func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
		if a.colours(true) {
			t.Errorf("%s is not heeded", variable)
		}
	}
}

func TestColoursSayWhatIsWellAndWhatIsNot(t *testing.T) {
	t.Parallel()
	const red, green, yellow = "\x1b[31m", "\x1b[32m", "\x1b[33m"
	b := newFleet(t)
	b.hub.put(t, strings.Replace(gitApp, "interval: 1m", "interval: 1m, suspend: true", 1))
	for _, test := range []struct {
		args    string
		has, no []string
	}{
		{"get ks", []string{"False       " + green + "True"}, []string{red}},
		{"get sources", []string{yellow + "True", green + "True"}, []string{red}},
		{"describe ks/app@prod-1", []string{"Ready       " + red + "False", "PruneHeld   " + red + "True"}, []string{green}},
		{"describe cl/prod-2", []string{"Ready       " + yellow + "Unknown", "SafeMode    " + red + "True"}, []string{green}},
	} {
		r := b.ok(append(strings.Fields(test.args), "--color=always")...)
		wantTexts(t, test.args, r.stdout, test.has...)
		for _, colour := range test.no {
			if strings.Contains(r.stdout, colour) {
				t.Errorf("%s has the colour %q:\n%q", test.args, colour, r.stdout)
			}
		}
	}
}

func TestWhatWasDoneIsToldEvenWhenTheHubIsLostMeanwhile(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.asked = func(*adminv1.ReconcileRequest) {
		b.hub.fail("Reconcile", status.Error(codes.Unavailable, "connection refused"))
	}
	r := b.fails(exitUnreachable, []string{"cannot reach hub"}, "reconcile", "gitrepo/app", "ks/app", "-o", "json")
	if items := parseJSON(t, r.stdout)["items"].([]any); len(items) != 1 {
		t.Errorf("told of %v", items)
	}
}

func TestHelpSaysWhatALabelSelects(t *testing.T) {
	t.Parallel()
	wantTexts(t, "stderr", newFleet(t).ok("get", "ks", "-l", "team=b").stderr, "No kustomizations found with labels team=b in namespace apps")
	wantTexts(t, "help", newBareBundle(t).ok("get", "--help").stdout, "-l selects by the objects' own labels; an instance has those of its app")
}
