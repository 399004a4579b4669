package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// different is a diff with one change.
func different(name string) fleet.Diff {
	ref := fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: name}
	return fleet.Diff{Unchanged: 3, Objects: []fleet.ObjectDiff{{Object: ref, Change: fleet.ChangeChange, Diff: "@@ -1,1 +1,1 @@\n-a: 1\n+a: 2\n"}}}
}

func TestDiffShowsClustersWithTheSameDiffAsOne(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": different("a"), "prod-2": different("a"), "canary-1": different("b"), "eu-1": fleet.Diff{}}
	r := b.fails(exitDifferent, nil, "diff", "ks/app")
	want(t, "stdout", r.stdout, `
ks/apps/app in canary-1
► ConfigMap/apps/b changed
@@ -1,1 +1,1 @@
-a: 1
+a: 2

ks/apps/app in prod-1, prod-2
► ConfigMap/apps/a changed
@@ -1,1 +1,1 @@
-a: 1
+a: 2
`)
	wantTexts(t, "stderr", r.stderr, "no differences in 1 of 4 clusters")
	if strings.Contains(r.stderr, "Error") {
		t.Errorf("differences are told as an error:\n%s", r.stderr)
	}
	var document struct{ Items []diffDocument }
	if err := json.Unmarshal([]byte(b.fails(exitDifferent, nil, "diff", "ks/app", "-o", "json").stdout), &document); err != nil || len(document.Items) != 4 {
		t.Errorf("as JSON: %+v, %v", document, err)
	}
	b.ok("diff", "ks/app@eu-1")
}

func TestDiffTellsHowManyObjectsHadNoRoom(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	long := different("web")
	long.Left, long.Objects = 12, nil
	b.hub.answers = map[string]any{"prod-1": long}
	wantTexts(t, "stdout", b.fails(exitDifferent, nil, "diff", "ks/app@prod-1").stdout, "and 12 more objects\n")
	wantTexts(t, "for programs", b.fails(exitDifferent, nil, "diff", "ks/app@prod-1", "-o", "json").stdout, `"left": 12`)
}

func TestDiffFailsWithACodeOfItsOwn(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	away := errors.New("not available now: it is not connected, unheard for 3m0s")
	b.hub.answers = map[string]any{"prod-1": different("a"), "prod-2": away}
	r := b.fails(exitPartial, []string{"1 of 2 clusters did not answer", "prod-2: not available now: it is not connected, unheard for 3m0s", "fleetctl describe cluster/prod-2"}, "diff", "ks/app")
	wantTexts(t, "stdout", r.stdout, "ks/apps/app in prod-1", "+a: 2")
	b.fails(exitPrecondition, []string{"unheard for 3m0s"}, "diff", "ks/app@prod-2")
	refused := fleet.Diff{Objects: []fleet.ObjectDiff{{Object: fleet.ObjectRef{Kind: "Service", Name: "s"}, Error: "Service/s: invalid: port"}}}
	b.hub.answers = map[string]any{"prod-1": refused}
	b.fails(exitFailed, []string{"an apply would fail", "prod-1: Service/s: invalid: port"}, "diff", "ks/app")
	b.hub.fail("Ask", errors.New("boom"))
	if r := b.run("diff", "ks/app"); r.code < 2 {
		t.Errorf("a failure ends with %d, which says that there are differences", r.code)
	}
}

func TestDiffSendsWhatIsBuiltLocally(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": fleet.Diff{}}
	b.ok("diff", "ks/app@prod-1", "--path", b.tree())
	request := requestsOf[*adminv1.AskRequest](b.hub)[0]
	text, err := fleet.UnpackDocuments(request.GetDiff().GetDocuments())
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, "documents", string(text), "name: prod-app\n", "password: canary", "---\n")
	if request.GetCluster() != "prod-1" || request.GetTimeout().AsDuration() != askTimeout {
		t.Errorf("asked is %v", request)
	}
	b.write("none/kustomization.yaml", "resources: []\n")
	b.fails(exitUsage, []string{"nothing is built there"}, "diff", "ks/app", "--path", b.dir+"/none")
}

func TestDiffWithAFileSendsWhatThatDeclares(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": fleet.Diff{}}
	file := b.write("ks.yaml", strings.Replace(ksApp, "path: ./deploy,", "path: ./deploy, namePrefix: x-, postBuild: {substitute: {A: b}},", 1))
	b.ok("diff", "ks/app@prod-1", "--path", b.tree(), "--kustomization-file", file)
	asked := requestsOf[*adminv1.AskRequest](b.hub)[0].GetDeclaredDiff()
	text, err := fleet.UnpackDocuments(asked.GetDocuments())
	if err != nil {
		t.Fatal(err)
	}
	wantTexts(t, "documents", string(text), "name: x-app\n")
	wantTexts(t, "what is declared", string(asked.GetDeclared()), `"postBuild":{"substitute":{"A":"b"}}`, `"namespace":"apps"`)
}

func TestTreeDrawsWhatObjectsOwn(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	ref := func(kind, name string) fleet.ObjectRef {
		return fleet.ObjectRef{Kind: kind, Namespace: "apps", Name: name}
	}
	b.hub.answers = map[string]any{"prod-1": fleet.Tree{Left: 7, Objects: []fleet.TreeObject{
		{Object: ref("Deployment", "web"), Status: "InProgress", Message: "1 of 2", Owned: []fleet.TreeObject{
			{Object: ref("ReplicaSet", "web-1"), Status: "Current", Owned: []fleet.TreeObject{{Object: ref("Pod", "web-1-a"), Status: "Current"}}}}},
		{Object: ref("Service", "web"), Status: "Current"}}}}
	want(t, "stdout", b.ok("tree", "ks/app@prod-1").stdout, `
Kustomization/apps/app@prod-1
├── Deployment/apps/web  InProgress: 1 of 2
│   └── ReplicaSet/apps/web-1  Current
│       └── Pod/apps/web-1-a  Current
└── Service/apps/web  Current
and 7 more objects
`)
	b.env["LC_ALL"] = "C"
	wantTexts(t, "without UTF-8", b.ok("tree", "ks/app@prod-1").stdout, "|-- Deployment/apps/web", "|   `-- ReplicaSet/apps/web-1")
}

func TestAnswerThatFailedNamesItsClusterOnceAndSaysWhyInTheSpokesWords(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": errors.New("conflict: not found: no kind")}
	r := b.run("diff", "ks/app@prod-1")
	wantTexts(t, "of one cluster", r.stderr, "Error: compare ks/app@prod-1: not found: no kind\n")
	b.hub.answers = map[string]any{"prod-1": errors.New("conflict: not found: no kind"), "prod-2": fleet.Diff{}}
	wantTexts(t, "of two", b.run("diff", "ks/app").stderr, "  prod-1: not found: no kind\n")
}
