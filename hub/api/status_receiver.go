package api

import (
	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// receiverStatus is the status of a Receiver, as Flux has it. Whoever may read it may call the webhook.
type receiverStatus struct {
	ObservedGeneration     int64       `json:"observedGeneration"`
	Conditions             []condition `json:"conditions"`
	WebhookPath            string      `json:"webhookPath,omitempty"`
	LastHandledReconcileAt string      `json:"lastHandledReconcileAt,omitempty"`
}

// Reasons of a Receiver, in Flux's words.
const (
	reasonInvalidExpression    = "InvalidCELExpression"
	reasonProgressingWithRetry = "ProgressingWithRetry"
)

func statusOfReceiver(object *resource.Object, spec flux.Receiver, state fleet.ReceiverState) receiverStatus {
	status := receiverStatus{ObservedGeneration: state.ObservedGeneration, WebhookPath: state.Path, LastHandledReconcileAt: state.HandledReconcileAt}
	if state.Version == 0 {
		status.ObservedGeneration = neverObserved
	}
	c := conditions{observed: status.ObservedGeneration}
	since := latest(*object.Metadata.CreationTimestamp, state.ReadySince)
	is := func(status fleet.ConditionStatus, reason, message string) standing {
		return standing{fleet.Condition{Status: status, Reason: reason, Message: message}, since}
	}
	invalid := expr.CheckReceiver(spec) // an older hub may have taken what this one cannot
	switch {
	case invalid != nil:
		failed := is(fleet.False, reasonInvalidExpression, invalid.Error())
		c.add(ready, failed)
		c.add(stalled, failed.as(reasonInvalidExpression))
	case state.Version == 0:
		c.addReady(standing{unknown(fleet.ReasonProgressing, "not looked at yet"), since})
	case state.Reason != "":
		failed := is(fleet.False, state.Reason, state.Message)
		c.add(ready, failed)
		c.add(reconciling, failed.as(reasonProgressingWithRetry)) // it becomes ready by itself when the Secret is there
	default:
		c.add(ready, is(fleet.True, "Succeeded", "Receiver initialized for path: "+state.Path))
	}
	status.Conditions = c.list
	return status
}
