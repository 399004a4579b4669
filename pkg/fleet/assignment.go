package fleet

import (
	"encoding/json"
	"fmt"
	"time"
)

// AssignmentState says whether a cluster should run an App or get rid of it.
type AssignmentState string

// The states of an Assignment. A Removed one is a tombstone: the only thing that ever ends an Assignment.
const (
	Active  AssignmentState = "Active"
	Removed AssignmentState = "Removed"
)

// Controls change what a spoke does without changing objects. They take effect at once, everywhere, never through a
// Rollout.
type Controls struct {
	// Suspend stops applying, pruning and drift correction.
	Suspend bool `json:"suspend,omitempty"`
	// Interval between full passes; retries after a failure come every RetryInterval (zero: Interval).
	Interval      time.Duration `json:"interval,omitempty"`
	RetryInterval time.Duration `json:"retryInterval,omitempty"`
	// Timeout bounds the wait for health.
	Timeout time.Duration `json:"timeout,omitempty"`
	// RequestedAt is the value of annotation reconcile.fluxcd.io/requestedAt; a new value asks for a full pass.
	RequestedAt string `json:"requestedAt,omitempty"`
	// ApprovedPrune is the PruneDigest of the set of deletions a person approved.
	ApprovedPrune Digest `json:"approvedPrune,omitzero"`
	// Helm are those of a HelmRelease.
	Helm HelmControls `json:"helm,omitzero"`
}

// OfSpec are the Controls that an App's spec says; the others are requests and approvals.
func (c Controls) OfSpec() Controls {
	c.RequestedAt, c.ApprovedPrune, c.Helm.ForceAt, c.Helm.ResetAt = "", Digest{}, "", ""
	return c
}

// Tombstone says how an Assignment ends.
type Tombstone struct {
	// Delete removes the App's objects; otherwise they are left as they are, without an owner.
	Delete bool `json:"delete,omitempty"`
	// Wait keeps the tombstone until the objects are gone (WaitForTermination).
	Wait bool `json:"wait,omitempty"`
	// Confirmed is set when a person confirmed the deletion; without it the prune guard holds as ever.
	Confirmed bool `json:"confirmed,omitempty"`
}

// Assignment says which Release of an App a cluster should run, and how.
type Assignment struct {
	App   Key             `json:"app"`
	State AssignmentState `json:"state"`
	// Generation grows with every change of the row; Pin is the generation at which Release or Binding last changed.
	Generation uint64 `json:"generation"`
	Pin        uint64 `json:"pin"`
	// Release is what to run. A Removed Assignment keeps the last one.
	Release Release `json:"release"`
	Binding Binding `json:"binding"`
	Controls
	// Tombstone is set when State is Removed.
	Tombstone *Tombstone `json:"tombstone,omitempty"`
	// Declared is set for an App that has a readyExpr, and for those it names. As a control, it takes effect at once.
	Declared *Declared `json:"declared,omitempty"`
}

// Declared is an App as it is declared, for expressions that look at it.
type Declared struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Generation  int64             `json:"generation"`
	// Observed is the generation that the hub has built last.
	Observed int64           `json:"observed,omitempty"`
	Spec     json.RawMessage `json:"spec"`
}

// MaxAssignment bounds an Assignment, encoded: a message has 4 MiB.
const MaxAssignment = 4<<20 - 16<<10

// Encode returns the bytes that travel to the spoke. They are made once, at the hub, and never re-encoded.
func (a Assignment) Encode() []byte {
	data, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("encode assignment: %v", err)) // strings, numbers and digests always encode
	}
	return data
}

// DecodeAssignment reads what Encode wrote. Fields of a newer hub are ignored; an unknown state is refused, so that
// it can never be taken for a deletion.
func DecodeAssignment(data []byte) (Assignment, error) {
	var a Assignment
	if err := json.Unmarshal(data, &a); err != nil {
		return Assignment{}, fmt.Errorf("decode assignment: %w: %w", ErrInvalid, err)
	}
	switch {
	case a.State == Active:
		a.State = Active // the constant: thousands of them are compared with it, and a text of each one's own is far away
	case a.State == Removed && a.Tombstone != nil:
	default:
		return Assignment{}, fmt.Errorf("decode assignment of %s: %w: state %q", a.App, ErrInvalid, a.State)
	}
	return a, nil
}
