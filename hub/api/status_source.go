package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// sourceStatus is the status of a Source, as Flux has it.
type sourceStatus struct {
	ObservedGeneration int64       `json:"observedGeneration"`
	Conditions         []condition `json:"conditions,omitempty"`
	Artifact           *artifact   `json:"artifact,omitempty"`
	// URL is the artifact's, of the kinds that have it here too.
	URL string `json:"url,omitempty"`
	// Of a GitRepository.
	IncludedArtifacts      []artifact `json:"includedArtifacts,omitempty"`
	SourceVerificationMode string     `json:"sourceVerificationMode,omitempty"`
	// Of a HelmChart.
	ObservedChartName              string   `json:"observedChartName,omitempty"`
	ObservedSourceArtifactRevision string   `json:"observedSourceArtifactRevision,omitempty"`
	ObservedValuesFiles            []string `json:"observedValuesFiles,omitempty"`
	LastHandledReconcileAt         string   `json:"lastHandledReconcileAt,omitempty"`
	// observed are more of Flux's fields, of what the artifact was made by.
	observed json.RawMessage
}

// MarshalJSON adds what was observed.
func (s sourceStatus) MarshalJSON() ([]byte, error) {
	type plain sourceStatus
	return beside(plain(s), s.observed)
}

// artifact is the Tree that was fetched last. Path and URL, which Flux's have, say where it is at the hub; what gives it
// out is fleetctl.
type artifact struct {
	Path           string            `json:"path"`
	URL            string            `json:"url"`
	Revision       string            `json:"revision"`
	Digest         string            `json:"digest"`
	LastUpdateTime time.Time         `json:"lastUpdateTime"`
	Size           *int64            `json:"size,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

func artifactOf(kind, namespace, name string, revision fleet.Revision, tree fleet.Digest, fetched time.Time) artifact {
	path := strings.Join([]string{strings.ToLower(kind), namespace, name, strings.TrimPrefix(tree.String(), "sha256:")}, "/")
	return artifact{Path: path, URL: "flotilla:///" + path, Revision: string(revision), Digest: tree.String(), LastUpdateTime: fetched.UTC()}
}

func statusOfSource(object *resource.Object, state fleet.SourceState) sourceStatus {
	status := sourceStatus{ObservedGeneration: state.ObservedGeneration, LastHandledReconcileAt: state.HandledReconcileAt}
	switch {
	case object.Kind == resource.ExternalArtifact.Name: // nothing follows from its spec
		status.ObservedGeneration = object.Metadata.Generation
	case state.Version == 0:
		status.ObservedGeneration = neverObserved
	}
	if isStatic(object) {
		return status // as in Flux: it only says where charts are
	}
	c := conditions{observed: status.ObservedGeneration}
	since := latest(*object.Metadata.CreationTimestamp, state.ReadySince)
	fetched := !state.Tree.IsZero()
	pushed := object.Kind == resource.ExternalArtifact.Name
	looked := pushed || state.CheckedAt.Year() > 2000 // at what it means now; what is stored may be of what it meant before
	stored := fleet.Condition{Status: fleet.True}
	stored.Reason, stored.Message = state.Detail.Summary(state.Revision)
	switch {
	case isWaiting(state):
		c.addReady(standing{unknown(state.Reason, state.Message), since})
	case state.Reason != "":
		addFailure(&c, object.Kind, state, since)
	case fetched && looked:
		c.add(ready, standing{stored, since})
	case pushed:
		c.addReady(standing{unknown(fleet.ReasonProgressing, "waiting for somebody to push to it: fleetctl push artifact"), since})
	default:
		c.addReady(standing{unknown(fleet.ReasonProgressing, "waiting to be fetched"), since})
	}
	if fetched {
		status.describe(object, state)
		c.add(artifactInStorage, standing{stored, state.StoredSince})
		if state.Detail.Verified != "" && state.Failure != failureSignature {
			verified := fleet.Condition{Status: fleet.True, Reason: "Succeeded", Message: state.Detail.Verified}
			c.add(sourceVerified, standing{verified, state.FetchedAt})
		}
	}
	status.Conditions = c.list
	return status
}

// describe says what was fetched.
func (s *sourceStatus) describe(object *resource.Object, state fleet.SourceState) {
	m, d := object.Metadata, state.Detail
	a := artifactOf(object.Kind, m.Namespace, m.Name, state.Revision, state.Tree, state.FetchedAt)
	a.Metadata = d.Metadata
	if d.Size > 0 {
		a.Size = &d.Size
	}
	s.Artifact, s.observed, s.SourceVerificationMode = &a, d.Observed, d.VerifiedMode
	if object.Kind != resource.GitRepository.Name && object.Kind != resource.ExternalArtifact.Name {
		s.URL = a.URL
	}
	for _, i := range d.Included {
		s.IncludedArtifacts = append(s.IncludedArtifacts, artifactOf(resource.GitRepository.Name, m.Namespace, i.Name, i.Revision, i.Tree, state.FetchedAt))
	}
	s.ObservedChartName, s.ObservedSourceArtifactRevision, s.ObservedValuesFiles = d.Chart, d.SourceRevision, d.ValuesFiles
}

// Failures that have conditions of their own; hub/source has all of them.
const (
	failureStore     = "store"
	failureSignature = "signature"
	failureInput     = "input"
)

// buildReasons are Flux's for a HelmChart that was fetched and not made.
var buildReasons = []string{"ChartPackageError", "ValuesFilesError", "DependencyBuildError", "MetadataPatchError", "ChartVerificationError"}

// isWaiting reports whether what the Source is made of is only not there yet.
func isWaiting(state fleet.SourceState) bool {
	return state.Failure == failureInput && state.Waiting
}

// addFailure adds what is not as it should be: Ready, what Flux calls the failure, and whether it is tried again.
func addFailure(c *conditions, kind string, state fleet.SourceState, since time.Time) {
	failed := standing{fleet.Condition{Status: fleet.False, Reason: state.Reason, Message: state.Message + deployed(state)}, since}
	c.add(ready, failed)
	if !state.Terminal {
		c.add(reconciling, failed.as("ProgressingWithRetry"))
	}
	is := func(kind string) { c.add(kind, failed.as(state.Reason)) }
	switch {
	case state.Failure == failureStore:
		is(storageFailed)
	case state.Failure == failureInput && kind == resource.GitRepository.Name:
		is(includeUnavailable)
	case kind == resource.HelmChart.Name && slices.Contains(buildReasons, state.Reason):
		is(buildFailed)
	case state.Failure != failureSignature:
		is(fetchFailed)
	}
	if state.Failure == failureSignature {
		c.add(sourceVerified, failed)
	}
	if state.Terminal {
		is(stalled)
	}
}

// deployed says what goes on being used, and since when it may not be what upstream has. Its times are absolute: a text
// that tells how long ago would change by itself.
func deployed(state fleet.SourceState) string {
	if state.Tree.IsZero() || state.StaleSince.IsZero() {
		return ""
	}
	return fmt.Sprintf("; what is deployed is %s, fetched %s, stale since %s", state.Revision, state.FetchedAt.UTC().Format(time.RFC3339), state.StaleSince.UTC().Format(time.RFC3339))
}

// isStatic reports whether nothing is ever fetched of a Source.
func isStatic(object *resource.Object) bool {
	if object.Kind != resource.HelmRepository.Name {
		return false
	}
	spec, err := resource.Spec[flux.HelmRepository](object)
	return err == nil && spec.Type == flux.HelmRepositoryOCI
}
