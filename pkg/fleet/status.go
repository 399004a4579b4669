package fleet

import "time"

// SourceStatus is what the hub knows of a Source.
type SourceStatus struct {
	// ObservedGeneration is the generation of the declared object that was last looked at.
	ObservedGeneration int64
	// Revision and Tree are of the last good fetch while the Source was active; FetchedAt is when it was made.
	Revision  Revision
	Tree      Digest
	FetchedAt time.Time
	// CheckedAt is when upstream was last asked.
	CheckedAt time.Time
	// Reason and Message say what went wrong since the last good fetch; empty: nothing. Terminal: no retry can help.
	Reason   string
	Message  string
	Terminal bool
	// Failure is the kind of what went wrong, in one word (hub/source has them). Waiting: what it is made of is only not
	// there yet.
	Failure string
	Waiting bool
	// StaleSince is since when what was fetched may not be what upstream has, as that could not be asked; zero: it could.
	StaleSince time.Time
	// Detail is of what was fetched.
	Detail ArtifactDetail
	// ReadySince is when it last became ready, or failed, or neither (zero: it was never either); StoredSince since when
	// there is a Tree.
	ReadySince  time.Time
	StoredSince time.Time
	// HandledReconcileAt is the last reconcile request that was served.
	HandledReconcileAt string
}

// AppStatus is what the hub knows of an App, apart from its clusters.
type AppStatus struct {
	// ObservedGeneration is the generation of the declared object that was last built.
	ObservedGeneration int64
	// Attempted is the Revision last tried; Revision the last that was built, and Release what it resolved to.
	Attempted Revision
	Revision  Revision
	Release   Digest
	// Reason and Message say why Attempted was not built; empty: it was.
	Reason  string
	Message string
	// HandledReconcileAt is the reconcile request of the App that was the newest when the build failed.
	HandledReconcileAt string
	// ReasonSince is since when there is a Reason, or none any more (zero: there never was one); ReleaseSince when Release
	// last changed.
	ReasonSince  time.Time
	ReleaseSince time.Time
	// TerminalSince is since when no retry can help; zero: one may.
	TerminalSince time.Time
}

// ClusterStatus is what the hub knows of a Cluster.
type ClusterStatus struct {
	ID string
	// Enrolled is set once a spoke has redeemed a join token of the cluster.
	Enrolled  bool
	Connected bool
	LastSeen  time.Time
	// ConnectedSince is when it last connected or disconnected, AwaySince when it last disconnected, or was registered, and
	// SafeModeSince when it last entered or left safe mode.
	ConnectedSince time.Time
	AwaySince      time.Time
	SafeModeSince  time.Time
	// State is the newest one allotted; Acknowledged what the spoke works from.
	State        StateID
	Acknowledged StateID
	// SafeMode says why nothing that deletes is sent to it; empty: it is not in safe mode.
	SafeMode string
	Facts    ClusterFacts
	// UnknownAssignments are Apps the spoke has and the hub does not assign.
	UnknownAssignments []Key
	// Version grows with every change of any of it.
	Version uint64
}

// Instance is an App in one cluster: its Assignment and the last Report of it.
type Instance struct {
	Cluster   string // name
	ClusterID string
	Connected bool
	LastSeen  time.Time
	// ConnectedSince and AwaySince are the cluster's.
	ConnectedSince time.Time
	AwaySince      time.Time
	// Assignment as last written, and when its Pin last changed.
	Assignment Assignment
	CreatedAt  time.Time
	PinnedAt   time.Time
	// Report is nil until the spoke has said something of this App.
	Report *Report
	// ReportedAt is when the hub stored the Report.
	ReportedAt time.Time
	// Since when the Report's Ready and Healthy have their status, it holds a prune, and is terminal, and since when what it
	// tells of a HelmRelease's drift is so; zero: it is not so.
	ReadySince    time.Time
	HealthySince  time.Time
	HeldSince     time.Time
	TerminalSince time.Time
	DriftedSince  time.Time
	// Attempted and Applied are the newest Revisions that the Releases of Assignment and Report are at.
	Attempted Revision
	Applied   Revision
	// Version grows with every change of any of it.
	Version uint64
}

// GoneInstance is an App that left a cluster.
type GoneInstance struct {
	Cluster string // name
	App     Key
	// Version is comparable to those of what is there.
	Version uint64
}

// SourceState is a SourceStatus with what the hub's own loops need beside it.
type SourceState struct {
	SourceStatus
	// Upstream that the Source resolves to; zero: none, for Reason.
	Upstream Digest
	// TreeBlob is the digest of the Tree's encoding.
	TreeBlob Digest
	// Latest is what the upstream is at, which the Source may not have moved to.
	Latest Fetched
	// SeenInputs is what the inputs of the upstream were at when the last look at it began.
	SeenInputs Digest
	// Claimed: the upstream is being looked at.
	Claimed bool
	// Version grows with every change of any of it.
	Version uint64
}

// Fetched is a Revision and its Tree, with the digest of the Tree's encoding. Zero: nothing was fetched.
type Fetched struct {
	Revision Revision
	Tree     Digest
	TreeBlob Digest
}

// Meant is which upstream a declared Source of a generation means.
type Meant struct {
	Kind, Namespace, Name string
	Generation            int64
	// Upstream is what is asked, and Remote whom the conversation is with; zero: none, for Reason.
	Upstream Digest
	Remote   Digest
	// Reason, Message and Failure say what stands in the way; empty: nothing. Waiting: it is only not there yet.
	Reason  string
	Message string
	Failure string
	Waiting bool
}

// Looked is the outcome of one look at an upstream: what it is at, or with a Reason what went wrong.
type Looked struct {
	Revision Revision
	Tree     Digest
	TreeBlob Digest
	Detail   ArtifactDetail
	// Inputs names what of the inputs is in the artifact and not in the Revision; zero: nothing.
	Inputs Digest
	// SeenInputs is what the inputs were at when the look began.
	SeenInputs Digest
	Reason     string
	Message    string
	Failure    string
	// Terminal: the spec can never work.
	Terminal bool
}

// Checked is an upstream of which a look found that nothing has changed.
type Checked struct {
	ID         Digest
	SeenInputs Digest
	// Next is when it is due again.
	Next time.Duration
}

// UpstreamState is what the hub's own loops know of an upstream, which is what the Sources with the same spec and
// credential share.
type UpstreamState struct {
	ID Digest
	// Remote is whom the conversation is with.
	Remote Digest
	// Looked is the last good look.
	Looked
	// Failures is how often in a row looking at it failed since.
	Failures int
}

// AppState is an AppStatus with what the hub's own loops need beside it.
type AppState struct {
	AppStatus
	// Version grows with every change of any of it.
	Version uint64
}

// Built is what an App's declaration of a generation, at a Revision of its Source, came to.
type Built struct {
	Generation int64
	Revision   Revision
	Release    Release
	// Seen is the version of the App's state that was looked at, if it matters whether that has changed since.
	Seen *uint64
}

// BuildInputs are what the last build of an App looked at, in the Source's Tree. Recipe names all else that its Manifest
// follows from.
type BuildInputs struct {
	App    Key
	Recipe Digest
	// Inputs is an encoding of the paths, of the loop that builds.
	Inputs []byte
}

// MaxOtherInputs is how many builds of other Apps with the same recipe are asked what they looked at.
const MaxOtherInputs = 3

// BuildFailure says why an App cannot be built from what was tried.
type BuildFailure struct {
	// Generation of the declared App, Revision of its Source (empty: it is not declared), and the App's newest reconcile
	// request then.
	Generation  int64
	Revision    Revision
	RequestedAt string
	Reason      string
	Message     string
}

// PlacementState is what is stored of what a Placement comes to.
type PlacementState struct {
	// ReadySince is when the status of its Ready condition last changed, MatchedSince when the clusters it chooses did.
	ReadySince   time.Time
	MatchedSince time.Time
	// Version grows with every change of what it comes to.
	Version uint64
}

// InstanceQuery selects Apps in clusters.
type InstanceQuery struct {
	Kind      string // empty: any App
	Namespace string // empty: all
	Name      string // empty: all
	Cluster   string // name; empty: all
	// Since selects those about which something changed from a horizon on.
	Since Horizon
	// After begins behind an App and the name of a cluster, in the order of the answer; Limit ends after so many. Zero: all.
	After      Key
	AfterThere string
	Limit      int
	// Detail has Reports come with theirs, which may be long.
	Detail bool
	// Brief has of a Detail's history no more than when the newest version was deployed.
	Brief bool
}
