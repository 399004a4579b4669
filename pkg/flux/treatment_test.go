package flux_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// What says how objects are treated, and would come to nothing in a cluster, is refused when it is applied, with its
// path.
func TestWhatNoSpokeCouldActOnIsRefused(t *testing.T) {
	t.Parallel()
	prune := true
	for name, test := range map[string]struct {
		release fleet.ReleaseSpec
		want    string
	}{
		"a ServiceAccount":                    {fleet.ReleaseSpec{ServiceAccountName: "deployer.v1"}, ""},
		"a ServiceAccount of another's":       {fleet.ReleaseSpec{ServiceAccountName: "kube-system:admin"}, `spec.serviceAccountName: "kube-system:admin" is not the name of a ServiceAccount`},
		"a ServiceAccount in capital letters": {fleet.ReleaseSpec{ServiceAccountName: "Deployer"}, "spec.serviceAccountName"},
		"fields for others": {fleet.ReleaseSpec{Ignore: []fleet.IgnoreRule{{
			Paths: []string{"/spec/replicas", "/metadata/annotations/a~1b~0c"}, Target: &fleet.PatchTarget{Kind: "Deploy.*", LabelSelector: "a in (b,c),!d", AnnotationSelector: "x=y"},
		}}}, ""},
		"no pointer":             {ignoring("spec/replicas"), `spec.ignore[0].paths[0]: "spec/replicas" is not a JSON pointer`},
		"a pointer to all":       {ignoring(""), "spec.ignore[0].paths[0]"},
		"a bad escape":           {ignoring("/spec", "/a~2b"), "spec.ignore[0].paths[1]"},
		"an object's name":       {ignoring("/metadata/name"), `"/metadata/name" is what makes an object the one it is`},
		"no path":                {ignoring(), "spec.ignore[0].paths: at least one path is required"},
		"a pattern":              {fleet.ReleaseSpec{Ignore: []fleet.IgnoreRule{{Paths: []string{"/a"}, Target: &fleet.PatchTarget{Name: "("}}}}, `spec.ignore[0].target.name: "(" is not a regular expression`},
		"a label selector":       {fleet.ReleaseSpec{Ignore: []fleet.IgnoreRule{{Paths: []string{"/a"}, Target: &fleet.PatchTarget{LabelSelector: "a in b"}}}}, "spec.ignore[0].target.labelSelector"},
		"an annotation selector": {fleet.ReleaseSpec{Ignore: []fleet.IgnoreRule{{Paths: []string{"/a"}, Target: &fleet.PatchTarget{AnnotationSelector: "="}}}}, "spec.ignore[0].target.annotationSelector"},
	} {
		spec := flux.Kustomization{
			Interval: duration(time.Minute), Prune: &prune, SourceRef: flux.SourceRef{Kind: "GitRepository", Name: "app"}, ReleaseSpec: test.release,
		}
		err := spec.Validate("apps")
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProblemsStandInOneOrder(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	target := &fleet.PatchTarget{Group: "(", Version: "(", Kind: "(", Namespace: "(", Name: "("}
	spec := flux.Kustomization{
		BuildSpec:   fleet.BuildSpec{NamePrefix: long, NameSuffix: long, Patches: []fleet.Patch{{Patch: "a", Target: target}}},
		ReleaseSpec: fleet.ReleaseSpec{PostBuild: &fleet.PostBuild{Substitute: map[string]string{"1": "", "2": "", "3": "", "4": "", "5": ""}}},
	}
	first := spec.Validate("apps").Error()
	for range 20 {
		if err := spec.Validate("apps"); err.Error() != first {
			t.Fatalf("once %s, then %s", first, err)
		}
	}
}

func ignoring(paths ...string) fleet.ReleaseSpec {
	return fleet.ReleaseSpec{Ignore: []fleet.IgnoreRule{{Paths: paths}}}
}
