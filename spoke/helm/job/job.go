package job

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Job is what a process is started for: one App, with all that Helm needs of it. It is sent once, before the first
// Request.
type Job struct {
	App fleet.Key `json:"app"`
	// Connection to the cluster, as whom all is done.
	Connection Connection         `json:"connection"`
	Plan       flux.HelmPlan      `json:"plan"`
	Binding    fleet.Binding      `json:"binding"`
	Controls   fleet.HelmControls `json:"controls"`
	Timeout    time.Duration      `json:"timeout"`
	// Release, Namespace and Storage are the release's name, and where its objects and its Secrets are.
	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	Storage   string `json:"storage"`
	// OCIDigests of the versions that are known, by version: a snapshot's Digest is made with it, as in Flux. What is made in
	// this process has the Plan's, or that of the version that was rolled back to.
	OCIDigests map[int]string `json:"ociDigests,omitempty"`
	// Plain says that the newest version that is stored is known to have no value of a Secret. Where it is not set, what the API
	// server says of that version's objects is not shown.
	Plain bool `json:"plain,omitempty"`
}

// Connection is a rest.Config as it can be sent.
type Connection struct {
	Host            string `json:"host"`
	APIPath         string `json:"apiPath,omitempty"`
	BearerToken     string `json:"bearerToken,omitempty"`
	BearerTokenFile string `json:"bearerTokenFile,omitempty"`
	Username        string `json:"username,omitempty"`
	Password        string `json:"password,omitempty"`
	Insecure        bool   `json:"insecure,omitempty"`
	ServerName      string `json:"serverName,omitempty"`
	CAFile          string `json:"caFile,omitempty"`
	CAData          []byte `json:"caData,omitempty"`
	CertFile        string `json:"certFile,omitempty"`
	CertData        []byte `json:"certData,omitempty"`
	KeyFile         string `json:"keyFile,omitempty"`
	KeyData         []byte `json:"keyData,omitempty"`
	// User is impersonated; empty: nobody is.
	User string `json:"user,omitempty"`
}

// Action is what a process is asked to do.
type Action string

// The actions. All but Observe, Values and Render change the cluster. Observe, Values, Unlock and Uninstall need neither
// Prepare nor an archive: what is to be gone may be of a chart that is not there any more.
const (
	// Prepare reads the values and the chart, and answers what they come to. It comes first; what follows uses that.
	Prepare Action = "prepare"
	// Observe answers what Helm has stored of the release.
	Observe   Action = "observe"
	Install   Action = "install"
	Upgrade   Action = "upgrade"
	Test      Action = "test"
	Rollback  Action = "rollback"
	Uninstall Action = "uninstall"
	// Unlock marks a release failed that an interrupted action left pending.
	Unlock Action = "unlock"
	// Render answers what an upgrade, or an install, would apply, without doing it.
	Render Action = "render"
	// Values answers the values, those of Secrets masked by where they are from.
	Values Action = "values"
)

// Request is one action of a process.
type Request struct {
	Action Action `json:"action"`
	// Version to roll back to, of Rollback; to unlock, of Unlock: 0 is the newest.
	Version int `json:"version,omitempty"`
	// Replace: Install takes the place of a version that failed, or was uninstalled and kept, whatever the Plan says.
	Replace bool `json:"replace,omitempty"`
	// Reveal: Values and Render show values as they are, of Secrets too.
	Reveal bool `json:"reveal,omitempty"`
}

// Answer to a Request. Failure is set when the action failed; the rest holds all the same, as far as it is known.
type Answer struct {
	Failure *Failure `json:"failure,omitempty"`
	// Unobserved is why it is not known what Helm has stored after the action, which may have succeeded all the same: History
	// is then empty.
	Unobserved *Failure `json:"unobserved,omitempty"`
	// Prepared answers Prepare.
	Prepared *Prepared `json:"prepared,omitempty"`
	// History is what Helm has stored after the action, the newest first: of every action but Prepare, Render and Values.
	History []fleet.HelmSnapshot `json:"history,omitempty"`
	// Objects answer Render: canonical JSON, as they would be applied, hooks and the CRDs of crds/ left out. What of them is a
	// value of a Secret is masked, unless Reveal.
	Objects [][]byte `json:"objects,omitempty"`
	// Before answer Render: the objects of the newest version of the release, in the same way; none: there is no release.
	Before [][]byte `json:"before,omitempty"`
	// Keys answer Render: the keys of the objects' maps that the chart, the plan or the values that may be shown have too.
	Keys []string `json:"keys,omitempty"`
	// Values answer Values, as YAML.
	Values []byte `json:"values,omitempty"`
	// LookedUp says that a template has read objects of the cluster in this process: values of Secrets may be in what it made.
	LookedUp bool `json:"lookedUp,omitempty"`
	// Took is how long the action took.
	Took time.Duration `json:"took,omitempty"`
}

// Prepared is what the plan, the chart and what is referred to in the cluster come to.
type Prepared struct {
	ChartName    string `json:"chartName"`
	ChartVersion string `json:"chartVersion"`
	AppVersion   string `json:"appVersion,omitempty"`
	// ConfigDigest of the merged values, PostRenderersDigest and CommonMetadataDigest of those fields of the spec, as Flux
	// makes them; empty: the field is not set.
	ConfigDigest         string `json:"configDigest"`
	PostRenderersDigest  string `json:"postRenderersDigest,omitempty"`
	CommonMetadataDigest string `json:"commonMetadataDigest,omitempty"`
	// Secret says that values of Secrets are among the values.
	Secret bool `json:"secret,omitempty"`
}

// Failure is why an action failed. Its text has no value of a Secret, and nothing that a template printed in which one may
// be.
type Failure struct {
	// Reason is what Flux would give for Ready=False: InstallFailed, ArtifactFailed, ValuesError and so on.
	Reason string `json:"reason"`
	// Message names the release where the action changes nothing; else who tells of it does.
	Message string `json:"message"`
	// Invalid: the same again cannot succeed before the chart, the values or the spec change. Transient: the API server, or
	// the way to it, was in the way.
	Invalid   bool `json:"invalid,omitempty"`
	Transient bool `json:"transient,omitempty"`
	// Began says that a version of the release was stored before it failed: it counts as an attempt.
	Began bool `json:"began,omitempty"`
}

func (f *Failure) Error() string { return f.Message }
