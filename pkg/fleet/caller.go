package fleet

// Caller is who asks for a change. The zero Caller is the hub itself.
type Caller struct {
	// Principal such as "user:admin".
	Principal string
}

// Admin is the principal that an admin token speaks for: the only one that people have until hubs know identities.
const Admin = "user:admin"

// Order is how a person wants a change carried out.
type Order struct {
	// DryRun tells what would happen and changes nothing.
	DryRun bool
	// Confirm is the number of clusters that was confirmed; nil: none was.
	Confirm *uint32
}

// LookRequest is a person's request for a look now.
type LookRequest struct {
	// At tells it from others, and what is handled: RFC 3339 with nanoseconds; for one cluster as RequestAt makes it.
	At string
	// Clusters by name that are asked: those that have the App. None for a Source.
	Clusters []string
}

// LookOptions say how a person wants a look.
type LookOptions struct {
	// Force has a HelmRelease installed or upgraded whatever its state, Reset has its failures forgotten.
	Force, Reset bool
	// DryRun records nothing.
	DryRun bool
}

// Impact is what a change means for the fleet.
type Impact struct {
	// Clusters it touches: all where it means every one, otherwise those where objects may be deleted, if there are any.
	Clusters int
	// Deletes is in how many of them objects may be deleted, at once or in their turn.
	Deletes int
	// EveryCluster: it means every cluster there is or will be.
	EveryCluster bool
	// Begins are the Rollouts that begin by it.
	Begins []BeginningRollout
	// Shrinks are the Rollouts under way that it ends, or takes clusters out of.
	Shrinks []ShrinkingRollout
	// Policy is the RolloutPolicy by which a new Release of the App would go through the clusters; empty: to all at once.
	Policy string
	// Users are the Apps that a RolloutPolicy is for, as "Kind/namespace/name".
	Users []string
}

// BeginningRollout is a Rollout of an App, over so many clusters.
type BeginningRollout struct {
	App      Key
	Clusters int
}

// ShrinkingRollout is a Rollout of an App that is under way, over so many clusters, and loses some of them: all, if it ends.
type ShrinkingRollout struct {
	ID             string
	App            Key
	Phase          string
	Clusters, Lost int
}
