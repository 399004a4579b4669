package sdk

import (
	"context"

	release "helm.sh/helm/v4/pkg/release/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// SnapshotOf is what is told of a version, as if Helm had stored it.
func SnapshotOf(j job.Job, r *release.Release) (fleet.HelmSnapshot, error) {
	return (&action{SDK: &SDK{job: j, digests: j.OCIDigests, made: map[int]job.Action{}}}).snapshot(r)
}

// ValuesDigest names values.
var ValuesDigest = valuesDigest

// FailureOf is what is told of an action that does this in place of Helm.
func FailureOf(s *SDK, r job.Request, what func() error) *job.Failure {
	return (&action{SDK: s, ctx: context.Background(), request: r}).failing(guarded(what))
}

// InOrder is a text with the complaints of a schema in their order.
var InOrder = inOrder
