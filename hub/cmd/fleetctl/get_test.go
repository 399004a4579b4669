package main

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// newFleet is a bundle whose hub has an object of every kind.
func newFleet(t *testing.T) *bundle {
	b := newBundle(t)
	b.hub.put(t, strings.Join([]string{
		gitApp, ksApp, instanceCanary, instanceBroken, placementApp, clusterProd, clusterLost, secretGit,
	}, "\n---\n"))
	return b
}

func TestGetShowsTheColumnsOfEachKind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, args, want string }{
		{"sources", "get sources", `
NAME   REVISION             SUSPENDED   READY   MESSAGE
app    main@sha1:696f056d   False       True    stored artifact`},
		{"apps of the fleet", "get ks", `
NAME   REVISION             SUSPENDED   READY   CLUSTERS   MESSAGE
app    main@sha1:696f056d   False       True    3/3        ready in 3 clusters`},
		{"all namespaces", "get kustomizations -A", `
NAMESPACE   NAME   REVISION             SUSPENDED   READY   CLUSTERS   MESSAGE
apps        app    main@sha1:696f056d   False       True    3/3        ready in 3 clusters`},
		{"wide", "get ks -o wide --no-headers", `
app   main@sha1:696f056d   False   True   3/3   ready in 3 clusters   ro-7k2f Running 1/3   GitRepository/app   main@sha1:696f056d   120m`},
		{"an instance", "get ks/app@canary-1", `
NAME   CLUSTER    REVISION             SUSPENDED   READY   MESSAGE
app    canary-1   main@sha1:696f056d   False       True    applied`},
		{"instances of a cluster", "get ks -c prod-1", `
NAME   CLUSTER   REVISION   SUSPENDED   READY   MESSAGE
app    prod-1    -          False       False   PRUNE HELD: 12 objects (fleetctl prune show ks/app@prod-1 -n apps); health check failed`},
		{"instances of all clusters", "get ks/app -c * --no-headers", `
app   canary-1   main@sha1:696f056d   False   True    applied
app   prod-1     -                    False   False   PRUNE HELD: 12 objects (fleetctl prune show ks/app@prod-1 -n apps); health check failed`},
		{"instances of all clusters, as a name", "get ks/app@* --no-headers -o name", `
kustomization.kustomize.toolkit.fluxcd.io/app@canary-1
kustomization.kustomize.toolkit.fluxcd.io/app@prod-1`},
		{"instance, wide", "get ks/app@canary-1 -o wide --no-headers", `
app   canary-1   main@sha1:696f056d   False   True   applied   True   main@sha1:696f056d   sha256:01234567   4   30s`},
		{"placements", "get placements", `
NAME   APPS     CLUSTERS            MATCHED   READY   MESSAGE
app    ks/app   env=prod,canary-1   3         True    placed`},
		{"clusters", "get clusters", `
NAME     READY     CONNECTED   APPS   SPOKE    K8S       LAST SEEN   MESSAGE
prod-1   False     True        1/2    v0.3.1   v1.36.3   2s          1 app failed
prod-2   Unknown   False       0/1    -        -         60m         SAFE MODE: the hub is behind this cluster (fleetctl hub recover); UNKNOWN APPS: Kustomization/apps/old; not heard of for 1h`},
		{"clusters by label, wide", "get cl -l region=eu -o wide --no-headers", `
prod-1   False   True   1/2   v0.3.1   v1.36.3   2s   1 app failed   env=prod,region=eu   0b2f   120m`},
		{"cluster list", "cluster list --no-headers -l region=eu", `
prod-1   False   True   1/2   v0.3.1   v1.36.3   2s   1 app failed`},
		{"secrets", "get secrets", `
NAME   TYPE     AGE
git    Opaque   120m`},
		{"several kinds", "get ks,placements", `
NAME                                            REVISION             SUSPENDED   READY   CLUSTERS   MESSAGE
kustomization.kustomize.toolkit.fluxcd.io/app   main@sha1:696f056d   False       True    3/3        ready in 3 clusters

NAME                               APPS     CLUSTERS            MATCHED   READY   MESSAGE
placement.fleet.flotilla.dev/app   ks/app   env=prod,canary-1   3         True    placed`},
		{"by name and kind", "get ks app --no-headers", `app   main@sha1:696f056d   False   True   3/3   ready in 3 clusters`},
		{"by the hub's own words", "get Kustomization/apps/app -n elsewhere -o name", `kustomization.kustomize.toolkit.fluxcd.io/app`},
		{"by qualified kind", "get kustomizations.kustomize.toolkit.fluxcd.io -o name", `kustomization.kustomize.toolkit.fluxcd.io/app`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want(t, test.args, newFleet(t).ok(strings.Fields(test.args)...).stdout, test.want)
		})
	}
}

func TestEveryGetHasEveryFormat(t *testing.T) {
	t.Parallel()
	for _, what := range []string{
		"sources", "gitrepositories", "kustomizations", "placements", "clusters", "secrets", "sources,ks,pl,cl,secrets",
		"ks/app", "ks/app@prod-1", "gitrepo/app", "cluster/prod-1", "secret/git", "placement app", "ks -c *", "ks/app gitrepo/app",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newFleet(t)
			run := func(format string) string {
				return b.ok(append([]string{"get", "-o", format}, strings.Fields(what)...)...).stdout
			}
			document := parseJSON(t, run("json"))
			var fromYAML map[string]any
			if err := yaml.UnmarshalStrict([]byte(run("yaml")), &fromYAML); err != nil {
				t.Errorf("-o yaml: %v", err)
			}
			items := []any{document}
			if document["kind"] == "List" {
				items = document["items"].([]any)
			}
			if len(items) == 0 {
				t.Error("nothing was found")
			}
			for _, item := range items {
				if o := item.(map[string]any); o["apiVersion"] == "" || o["kind"] == "" || o["metadata"] == nil {
					t.Errorf("not an object: %v", item)
				}
			}
			if names := strings.Fields(run("name")); len(names) != len(items) {
				t.Errorf("-o name gives %v for %d objects", names, len(items))
			}
			if lines := strings.Count(run("wide"), "\n"); lines <= len(items) {
				t.Errorf("-o wide has %d lines for %d objects", lines, len(items))
			}
		})
	}
}

func TestGetNeverPrintsTheContentOfASecret(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "yaml", "wide", "table", "name"} {
		r := newFleet(t).ok("get", "secrets", "-o", format)
		if strings.Contains(r.stdout+r.stderr, "aHVudGVyMg") || strings.Contains(r.stdout, "password") {
			t.Errorf("-o %s prints the content:\n%s", format, r.stdout)
		}
	}
	r := newFleet(t).ok("describe", "secret/git")
	if strings.Contains(r.stdout, "aHVudGVyMg") {
		t.Errorf("describe prints the content:\n%s", r.stdout)
	}
}

func TestTheQueryOfARepositoryIsOnNoScreen(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, `
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: apps}
spec: {interval: 1m, url: "https://charts.example.com/stable?sig=canary"}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: objects, namespace: apps}
spec: {interval: 1m, provider: azure, endpoint: "https://a.blob.core.windows.net/?sv=canary", bucketName: c}
`)
	for command, want := range map[string]string{
		"get helmrepositories -o wide":   "https://charts.example.com/stable?...",
		"get buckets -o wide":            "https://a.blob.core.windows.net/c",
		"describe HelmRepository/charts": "url: https://charts.example.com/stable?...",
	} {
		if out := b.ok(strings.Fields(command)...).stdout; !strings.Contains(out, want) || strings.Contains(out, "canary") {
			t.Errorf("%s prints\n%s\nwant %q, and no query", command, out, want)
		}
	}
	if out := b.ok("get", "helmrepositories", "-o", "yaml").stdout; !strings.Contains(out, "?sig=canary") {
		t.Errorf("-o yaml is not what was declared:\n%s", out)
	}
}

func TestGetReadsEveryPage(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.page = 1
	if names := strings.Fields(b.ok("get", "clusters", "-o", "name").stdout); len(names) != 2 {
		t.Errorf("got %v, want two clusters", names)
	}
}

func TestGetOfNothingIsNoError(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.ok("get", "ks", "-n", "empty")
	want(t, "stdout", r.stdout, "")
	wantTexts(t, "stderr", r.stderr, "No kustomizations found in namespace empty")
	document := parseJSON(t, b.ok("get", "ks", "-o", "json").stdout)
	if items, ok := document["items"].([]any); !ok || len(items) != 0 {
		t.Errorf("an empty list is %v", document)
	}
}

func TestGetOfAMissingNameExits3AndPrintsTheOthers(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.fails(exitNotFound, []string{"not found: ks/nope in namespace apps", "try: fleetctl get kustomizations -A"}, "get", "ks/nope")
	r := b.fails(exitNotFound, []string{"ks/nope"}, "get", "ks", "app", "nope", "-o", "name")
	want(t, "stdout", r.stdout, "kustomization.kustomize.toolkit.fluxcd.io/app")
	b.fails(exitNotFound, []string{"not found: cl/nope", "try: fleetctl get clusters\n"}, "get", "cl/nope")
}

func TestGetOfAMissingNameInClustersExits3(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	for _, args := range [][]string{{"ks/nope", "-c", "*"}, {"ks/nope@*"}, {"ks/nope", "-c", "prod-1"}, {"ks/nope@prod-1"}, {"ks/app", "-c", "canary-1,prod-2"}} {
		b.fails(exitNotFound, []string{"not found: ks/", "try: fleetctl get kustomizations -A"}, append([]string{"get"}, args...)...)
		b.fails(exitNotFound, []string{"not found"}, append([]string{"get", "-w"}, args...)...)
	}
	b.fails(exitNotFound, []string{"not found: ks/app@typo", "get Cluster/typo: not found", "try: fleetctl get clusters"}, "get", "ks/app@typo")
	b.fails(exitNotFound, []string{"get Cluster/typo: not found", "fleetctl get clusters"}, "get", "ks", "-c", "typo")
	b.hub.put(t, strings.Replace(ksApp, "name: app, namespace", "name: idle, namespace", 1))
	wantTexts(t, "stderr", b.ok("get", "ks/idle@*").stderr, "no cluster has ks/idle")
	if items := parseJSON(t, b.ok("get", "ks/idle@*", "-o", "json").stdout)["items"].([]any); len(items) != 0 {
		t.Errorf("instances %v", items)
	}
}

func TestGetMixesObjectsAndTheirInstances(t *testing.T) {
	t.Parallel()
	want(t, "stdout", newFleet(t).ok("get", "ks", "app", "app@*", "app@prod-1", "-o", "name").stdout, `
kustomization.kustomize.toolkit.fluxcd.io/app
kustomization.kustomize.toolkit.fluxcd.io/app@canary-1
kustomization.kustomize.toolkit.fluxcd.io/app@prod-1
kustomization.kustomize.toolkit.fluxcd.io/app@prod-1`)
}

func TestWrongUsageExits2AndSaysWhatIsMeant(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ args, want string }{
		{"get", "arguments are missing: KIND"},
		{"get pods", `"pods" is not a kind`},
		{"get ks -o xml", "-o xml: fleetctl get has json, yaml, name, wide"},
		{"get ks --nope", "unknown flag: --nope"},
		{"get ks/app@", "names no cluster behind the @"},
		{"get gitrepo/app@prod-1", "a GitRepository has no instance in a cluster"},
		{"get gitrepo -c prod-1", "-c: a GitRepository has no instances in clusters"},
		{"get ks app -l team=a", "-l selects objects"},
		{"get ks app -A", "--name app finds it in all namespaces"},
		{"get ks/app clusters", `"clusters" stands among arguments of the form KIND/NAME`},
		{"get ks app/b", `"app/b" stands behind a kind`},
		{"get ks,pl app", `"ks,pl" means several kinds: where objects are named, it must be one`},
		{"get ks/%@*", `"%@*" is not a name`},
		{"get ks/app@p_1", `"app@p_1" is not a name`},
		{"get ks --output-watch-events", "needs -w and -o json"},
		{"get ks --timeout soon", `invalid argument "soon"`},
		{"get ks --color loud", `--color "loud" is not auto`},
		{"frobnicate", `unknown command "frobnicate"`},
		{"config frobnicate", `unknown command "frobnicate" for "fleetctl config"`},
		{"describe ks", `"ks" names no object`},
		{"suspend ks/app@prod-1", "acts on the whole fleet"},
		{"suspend cluster/prod-1", "sources, apps and receivers can be suspended"},
		{"reconcile placement/app", "sources, apps and receivers can be reconciled"},
		{"reconcile gitrepo/app --with-source", "--with-source is for apps"},
		{"prune show cluster/prod-1", "only apps prune"},
		{"wait ks/app --for=magic", "--for=magic is not ready"},
		{"wait ks/app --min-clusters=many", "is not a number from 1 or a percentage"},
		{"wait ks/app@prod-1 --min-clusters=1", "--min-clusters is for apps of the whole fleet"},
		{"wait ks/app --for=connected", "--for=connected is for clusters"},
		{"delete ks/app@prod-1", "--policy delete or --policy orphan is required"},
		{"delete ks/app --policy shred", `--policy "shred" is not delete or orphan`},
		{"delete cluster/prod-1 --policy orphan", "--policy is for apps"},
		{"delete ks/app --now", "--now is for clusters"},
		{"delete", "arguments are missing"},
		{"events --since -1h", "--since -1h0m0s is not in the past"},
		{"suspend ks/app --all", "--all means all of a kind: name none"},
		{"suspend --all", "--all needs a kind"},
		{"suspend placements --all", "sources, apps and receivers can be suspended"},
		{"events --for ks/app -A", "--for ks/app and -A do not go together"},
		{"events --for cluster/prod-1 -A", "--for cl/prod-1 and -A do not go together"},
		{"events --types Loud", `--types "Loud" is not Warning`},
		{"cluster register", "arguments are missing: NAME"},
		{"cluster register a --label b", `--label "b" is not KEY=VALUE`},
		{"cluster register a --print yaml", `--print "yaml" is not command`},
		{"cluster register a --print token -o json", "-o json and --print do not go together"},
		{"cluster register a --print=command -o yaml", "-o yaml and --print do not go together"},
		{"cluster register a --print env --dry-run", "--print: a dry run makes no token"},
		{"apply", "-f is required"},
		{"status extra", `"extra" is an argument too many`},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			r := newFleet(t).fails(exitUsage, []string{"Error: ", test.want, "try: "}, strings.Fields(test.args)...)
			want(t, "stdout", r.stdout, "")
		})
	}
}
