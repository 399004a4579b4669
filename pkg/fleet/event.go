package fleet

import "time"

// FleetEvent is an Event as the hub keeps it: about a declared object, in a cluster or at the hub.
type FleetEvent struct {
	ID      int64
	At      time.Time
	Warning bool
	Reason  string
	Message string
	// Kind, Namespace and Name of the declared object.
	Kind, Namespace, Name string
	// Cluster by name; empty: at the hub.
	Cluster string
	// Object in the cluster, as ObjectRef.String has it; empty: none.
	Object string
}

// EventQuery selects FleetEvents; what is empty selects all.
type EventQuery struct {
	Kind, Namespace, Name, Cluster string
	// Warnings only.
	Warnings bool
	// NotBefore a time; zero: from the beginning.
	NotBefore time.Time
	// Since a horizon; Limit to the newest, 0: none.
	Since Horizon
	Limit int
}
