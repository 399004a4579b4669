package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const twoSources = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: podinfo, namespace: apps, uid: x, generation: 3, resourceVersion: "7", annotations: {reconcile.fluxcd.io/requestedAt: now, team: web}}
spec: {interval: 1m, url: "https://example.com/x"}
status: {conditions: [{type: Ready, status: "True", message: stored}], artifact: {revision: "main@sha1:696f056dabcd"}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: podinfo, namespace: apps}
spec: {interval: 1m, url: "oci://example.com/x", suspend: true}
status: {conditions: [{type: Ready, status: "False", message: nothing}]}
`

func TestExportPrintsWhatAPersonWouldDeclare(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, twoSources)
	git := "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n  annotations:\n    team: web\n  name: podinfo\n  namespace: apps\nspec:\n  interval: 1m\n  url: https://example.com/x\n"
	oci := "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: podinfo\n  namespace: apps\nspec:\n  interval: 1m\n  suspend: true\n  url: oci://example.com/x\n"
	for args, want := range map[string]string{
		"source git podinfo": git, "gitrepo/podinfo ocirepo/podinfo": git + oci, "sources --all": git + oci, "source oci --all": oci,
	} {
		if diff := cmp.Diff(want, b.ok(append([]string{"export"}, strings.Fields(args)...)...).stdout); diff != "" {
			t.Errorf("%s (-want +got):\n%s", args, diff)
		}
	}
	if document := parseJSON(t, b.ok("export", "source", "git", "podinfo", "-o", "json").stdout); document["status"] != nil || document["spec"] == nil {
		t.Errorf("-o json gives %v", document)
	}
	b.fails(exitNotFound, nil, "export", "source", "git", "other")
	b.fails(exitUsage, []string{"given out to nobody"}, "export", "secret/x")
	b.fails(exitUsage, []string{"name none"}, "export", "source", "git", "podinfo", "--all")
}

func TestSourcesAreNamedAsFluxsClientNamesThem(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, twoSources)
	want(t, "get sources git", b.ok("get", "sources", "git").stdout, `
NAME      REVISION             SUSPENDED   READY   MESSAGE
podinfo   main@sha1:696f056d   False       True    stored`)
	want(t, "get source oci NAME", b.ok("get", "source", "oci", "podinfo").stdout, `
NAME      REVISION   SUSPENDED   READY   MESSAGE
podinfo   -          True        False   nothing`)
	wantTexts(t, "get sources all", b.ok("get", "sources", "all").stdout, "gitrepository.source.toolkit.fluxcd.io/podinfo", "ocirepository.source.toolkit.fluxcd.io/podinfo")
	b.ok("reconcile", "source", "git", "podinfo")
	b.ok("suspend", "source", "oci", "--all")
	b.ok("resume", "source", "oci", "podinfo")
	b.ok("delete", "source", "git", "podinfo")
	var got []string
	for _, request := range requestsOf[proto.Message](b.hub) {
		if named, ok := request.(interface{ GetKind() string }); ok {
			if _, isList := request.(*adminv1.ListRequest); !isList {
				got = append(got, strings.TrimSuffix(string(proto.MessageName(request).Name()), "Request")+" "+named.GetKind())
			}
		}
	}
	wanted := []string{"Get OCIRepository", "Reconcile GitRepository", "Suspend OCIRepository", "Resume OCIRepository", "Delete GitRepository", "Delete GitRepository"}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	b.fails(exitUsage, []string{"means several kinds"}, "reconcile", "source", "all", "podinfo")
}
