package flux_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestEveryFieldOfASpecStandsInItsTable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec  any
		table []flux.Field
	}{
		{flux.Kustomization{}, flux.KustomizationFields},
		{flux.HelmRelease{}, flux.HelmReleaseFields},
		{flux.GitRepository{}, flux.GitRepositoryFields},
		{flux.OCIRepository{}, flux.OCIRepositoryFields},
		{flux.Bucket{}, flux.BucketFields},
		{flux.HelmRepository{}, flux.HelmRepositoryFields},
		{flux.HelmChart{}, flux.HelmChartFields},
		{flux.ExternalArtifact{}, flux.ExternalArtifactFields},
	} {
		kind := reflect.TypeOf(test.spec)
		var taken, listed []string
		for _, field := range reflect.VisibleFields(kind) {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); len(field.Index) == 1 && name != "" || len(field.Index) == 2 && kind.Field(field.Index[0]).Anonymous {
				taken = append(taken, name)
			}
		}
		for _, field := range test.table {
			listed = append(listed, field.Path)
		}
		slices.Sort(taken)
		slices.Sort(listed)
		if !slices.Equal(taken, listed) {
			t.Errorf("%s takes %v, its table lists %v", kind.Name(), taken, listed)
		}
	}
}

func duration(d time.Duration) *flux.Duration { return &flux.Duration{Duration: d} }

// A timeout that is set counts as it is, where Flux would make 30 s of a shorter one.
func TestTimeoutAndRetryIntervalDefaultAsInFluxAndCountAsTheyAreWhenSet(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec           flux.Kustomization
		timeout, retry time.Duration
	}{
		{flux.Kustomization{Interval: duration(10 * time.Minute)}, 9*time.Minute + 30*time.Second, 10 * time.Minute},
		{flux.Kustomization{Interval: duration(40 * time.Second)}, 30 * time.Second, 40 * time.Second},
		{flux.Kustomization{Interval: duration(time.Minute), Timeout: duration(2 * time.Second), RetryInterval: duration(5 * time.Second)}, 2 * time.Second, 5 * time.Second},
	} {
		if got := test.spec.GetTimeout(); got != test.timeout {
			t.Errorf("timeout %s, want %s", got, test.timeout)
		}
		if got := test.spec.GetRetryInterval(); got != test.retry {
			t.Errorf("retry interval %s, want %s", got, test.retry)
		}
	}
}

func TestDeletionOfAnAppDeletesAsItsPolicySays(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, test := range []struct {
		spec flux.Kustomization
		want bool
	}{
		{flux.Kustomization{Prune: &yes}, true},
		{flux.Kustomization{Prune: &no}, false},
		{flux.Kustomization{Prune: &yes, DeletionPolicy: fleet.MirrorPrune}, true},
		{flux.Kustomization{Prune: &no, DeletionPolicy: fleet.DeleteObjects}, true},
		{flux.Kustomization{Prune: &no, DeletionPolicy: fleet.WaitForTermination}, true},
		{flux.Kustomization{Prune: &yes, DeletionPolicy: fleet.OrphanObjects}, false},
		{flux.Kustomization{Prune: &yes, Suspend: true}, false},
		{flux.Kustomization{Prune: &yes, Suspend: true, DeletionPolicy: fleet.DeleteObjects}, false},
	} {
		if got, _ := test.spec.Deletion(""); got != test.want {
			t.Errorf("%+v deletes: %t", test.spec, got)
		}
	}
	if remove, wait := (flux.Kustomization{Suspend: true}).Deletion(fleet.WaitForTermination); !remove || !wait {
		t.Errorf("a policy that is given: deletes %t, waits %t", remove, wait)
	}
}

func TestKubeConfigIsRefusedWithWhatToDoInstead(t *testing.T) {
	t.Parallel()
	prune := true
	k := flux.Kustomization{Interval: duration(time.Minute), Prune: &prune, SourceRef: flux.SourceRef{Kind: "GitRepository", Name: "app"}}
	if err := k.Validate("apps"); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []flux.KubeConfigRef{{SecretRef: &flux.SecretKeyRef{Name: "other"}}, {ConfigMapRef: &fleet.LocalReference{Name: "other"}}, {}} {
		k.KubeConfig = &ref
		err := k.Validate("apps")
		for _, want := range []string{"spec.kubeConfig: ", "fleetctl cluster register", "Placement"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: error %v does not say %q", ref, err, want)
			}
		}
	}
}
