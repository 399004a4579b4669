package fleet

import (
	"encoding/json"
	"time"
)

// Webhook is a Receiver whose path was called, with what its Secret holds.
type Webhook struct {
	Namespace, Name string
	// Spec of the Receiver, as declared.
	Spec   json.RawMessage
	Secret map[string][]byte
}

// ReceiverState is what is stored of a Receiver.
type ReceiverState struct {
	// Path at which it takes calls; empty: there is none, for Reason and Message.
	Path               string
	Reason, Message    string
	ObservedGeneration int64
	HandledReconcileAt string
	// ReadySince, or not ready.
	ReadySince time.Time
	// Version grows with every change; 0: nothing is stored.
	Version uint64
}
