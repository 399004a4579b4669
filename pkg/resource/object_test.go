package resource_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func TestServiceAccountOfAClusterIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	o, err := resource.Decode([]byte(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a","namespace":"apps"},"automountServiceAccountToken":false,
		"secrets":[{"name":"a-token"},{"apiVersion":"v1","kind":"Secret","namespace":"apps","name":"b","fieldPath":"x"}],"imagePullSecrets":[{"name":"pull"}]}`))
	if err != nil || len(o.ImagePullSecrets) != 1 {
		t.Errorf("%+v, error %v", o, err)
	}
}

func TestDecodeNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	const (
		ks  = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":`
		git = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":`
		rp  = `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"RolloutPolicy","metadata":{"name":"p"},"spec":`
		pl  = `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"app","namespace":"apps"},"spec":`
	)
	for _, test := range []struct{ name, object, want string }{
		{"unknown field", ks + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"},"postBuilt":{"substitute":{"a":"b"}}}}`, "Kustomization/apps/app: spec.postBuilt: not supported yet, or misspelt"},
		{"a number for a variable", ks + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"},"postBuild":{"substitute":{"a":1}}}}`, "Kustomization/apps/app: spec.postBuild.substitute.a: is a number and should be a string"},
		{"text for a list", ks + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"},"components":"a"}}`, "Kustomization/apps/app: spec.components: is a string and should be a list"},
		{"nested field", git + `{"interval":"1m","url":"http://x/a","ref":{"semvers":"1.x"}}}`, "GitRepository/apps/app: spec.ref.semvers: not supported yet"},
		{"dependency", strings.Replace(ks, `"namespace":"apps"`, `"namespace":"apps","annotations":{"fleet.flotilla.dev/depends-on":"HelmRelease/apps/db,GitRepository/apps/db"}`, 1) + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"}}}`,
			"Kustomization/apps/app: metadata.annotations[fleet.flotilla.dev/depends-on]: \"GitRepository/apps/db\" is not HelmRelease/NAMESPACE/NAME or Kustomization/NAMESPACE/NAME"},
		{"unnamed rollout policy", pl + `{"apps":[{"kind":"Kustomization","name":"a"}],"clusters":{"names":["x"]},"rolloutPolicyRef":{}}}`, "spec.rolloutPolicyRef.name: is required"},
		{"unknown field of a wave", rp + `{"waves":[{"name":"a","maxParallel":1}]}}`, "spec.waves[0].maxParallel: not supported yet, or misspelt"},
		{"selector of a wave", rp + `{"waves":[{"name":"a","select":{"matchLabels":["a"]}}]}}`, "spec.waves[0].select.matchLabels: is a list and should be a mapping"},
		{"a wave further down", rp + `{"waves":[{"name":"a","limit":3},{"name":"b","after":[{"soak":{"duration":"1m"}},{"approval":{"approvers":["a",{"b":[]},"c"]}}]}]}}`, "spec.waves[1].after[1].approval.approvers[1]: is a mapping and should be a string"},
		{"annotation that is a number", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"x","annotations":{"a":"b","fleet.flotilla.dev/hold":1}}}`, "metadata.annotations[fleet.flotilla.dev/hold]: is a number and should be a string"},
		{"window that never opens", rp + `{"waves":[{"name":"a"}],"windows":[{"cron":"0 0 31 2 *","duration":"1h"}]}}`, `spec.windows[0].cron: "0 0 31 2 *" never comes`},
		{"spec of an account", `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a","namespace":"apps"},"spec":{"a":1}}`, "ServiceAccount/apps/a: spec: a ServiceAccount has no spec"},
		{"unnamed pull secret", `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a","namespace":"apps"},"imagePullSecrets":[{"name":"x"},{}]}`, "imagePullSecrets[1].name: is required"},
		{"pull secrets elsewhere", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"apps"},"stringData":{"a":"b"},"imagePullSecrets":[{"name":"x"}]}`, "imagePullSecrets: only a ServiceAccount has them"},
		{"mountable secrets elsewhere", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"apps"},"stringData":{"a":"b"},"secrets":[{"name":"x"}]}`, "secrets: only a ServiceAccount has them"},
		{"a token to mount elsewhere", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"apps"},"stringData":{"a":"b"},"automountServiceAccountToken":false}`, "automountServiceAccountToken: only a ServiceAccount has them"},
		{"credential of a namespace", `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Credential","metadata":{"name":"a","namespace":"apps"},"spec":{"urlPrefix":"https://x","namespaces":["*"],"provider":"aws"}}`, "metadata.namespace: a Credential has no namespace"},
		{"source of charts", ks + `{"interval":"1m","prune":true,"sourceRef":{"kind":"HelmRepository","name":"a"}}}`, "spec.sourceRef.kind: \"HelmRepository\" is not GitRepository, OCIRepository, Bucket or ExternalArtifact"},
		{"unknown kind", `{"apiVersion":"helm.toolkit.fluxcd.io/v1","kind":"HelmRelease","metadata":{"name":"a"}}`, "HelmRelease a: invalid: kind HelmRelease of helm.toolkit.fluxcd.io/v1 is not supported yet"},
		{"missing interval", ks + `{"prune":true,"sourceRef":{"kind":"GitRepository","name":"a"}}}`, "spec.interval: is required"},
		{"missing prune", ks + `{"interval":"1m","sourceRef":{"kind":"GitRepository","name":"a"}}}`, "spec.prune: is required"},
		{"bad duration", ks + `{"interval":"soon","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"}}}`, `spec.interval: "soon" is not a duration such as "10m"`},
		{"boolean as text", ks + `{"interval":"1m","prune":"yes","sourceRef":{"kind":"GitRepository","name":"a"}}}`, "spec.prune: is a string and should be a boolean"},
		{"list as mapping", pl + `{"apps":{},"clusters":{"names":["x"]}}}`, "spec.apps: is a mapping and should be a list"},
		{"path out of the source", ks + `{"interval":"1m","prune":true,"path":"../x","sourceRef":{"kind":"GitRepository","name":"a"}}}`, `spec.path: "../x" leaves the source`},
		{"credentials in the URL", git + `{"interval":"1m","url":"http://u:p@x/a"}}`, "spec.url: holds credentials"},
		{"no clusters chosen", pl + `{"apps":[{"kind":"Kustomization","name":"a"}],"clusters":{}}}`, "spec.clusters: selector or names is required"},
		{"bad name", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"A_b","namespace":"x"}}`, `metadata.name: "A_b" is not a DNS subdomain name`},
		{"name that YAML takes for a boolean", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":true,"namespace":"x"}}`, "metadata.name: is a boolean and should be a string: in YAML, text such as y, no, on or 1.0 needs quotes"},
		{"label that is a number", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","namespace":"x","labels":{"v":1}}}`, "metadata.labels.v: is a number and should be a string"},
		{"list", `[]`, "not a Kubernetes object"},
		{"no namespace", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}`, "metadata.namespace: is required"},
		{"field given twice", git + `{"interval":"1m","interval":"2m","url":"http://x/a"}}`, "spec.interval: is given twice"},
		{"bad guard", strings.Replace(ks, `"namespace":"apps"`, `"namespace":"apps","annotations":{"fleet.flotilla.dev/prune-guard":"lots"}`, 1) + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"}}}`, "prune-guard]: \"lots\" is not a number of objects"},
		{"finalizers", strings.Replace(ks, `"namespace":"apps"`, `"namespace":"apps","finalizers":["x"]`, 1) + `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"a"}}}`, "metadata.finalizers: not supported yet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := resource.Decode([]byte(test.object))
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Fatalf("error %v is not ErrInvalid", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}
