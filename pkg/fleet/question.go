package fleet

import (
	"encoding/json"
	"fmt"
	"time"
)

// What a spoke can be asked.
const (
	// AskHeldPrune: which objects the prune guard holds; answered by a JSON list of ObjectRef.
	AskHeldPrune = "held-prune"
	// AskDiff: what an apply would change; answered by a Diff.
	AskDiff = "diff"
	// AskDeclaredDiff: what an apply of documents would change under terms that nobody has declared yet; answered by a Diff.
	AskDeclaredDiff = "declared-diff"
	// AskTree: the objects of an App and what they own; answered by a Tree.
	AskTree = "tree"
	// AskTrace: where an object comes from; answered by a Trace.
	AskTrace = "trace"
	// AskVariables: the variables that an App has there; answered by Variables.
	AskVariables = "variables"
	// AskHelmValues: the values that a HelmRelease is made with there; answered by HelmValues.
	AskHelmValues = "helm-values"
	// AskHelmHistory: the versions of a HelmRelease there; answered by a HelmHistory.
	AskHelmHistory = "helm-history"
	// AskGate: what a gate of a Rollout asks in that cluster; answered by a GateAnswer.
	AskGate = "gate"
)

// Asks are all of them.
var Asks = []string{AskHeldPrune, AskDiff, AskDeclaredDiff, AskTree, AskTrace, AskVariables, AskHelmValues, AskHelmHistory, AskGate}

// Ask is what is asked.
type Ask struct {
	What string `json:"what"`
	// App that it is about; zero for a trace.
	App Key `json:"app,omitzero"`
	// Drift: a diff only of what was applied and has become otherwise since.
	Drift bool `json:"drift,omitempty"`
	// Documents, gzipped YAML, take the place of the App's own objects in a diff; empty: they do not.
	Documents []byte `json:"documents,omitempty"`
	// Terms take the place of the App's own in a declared diff.
	Terms Terms `json:"terms,omitzero"`
	// Word is what a person calls the kind of a traced object: kind, plural or short name, with the group behind a dot or
	// without. Namespace and Name are its own.
	Word      string `json:"word,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Gate is a gate's question.
	Gate *GateQuestion `json:"gate,omitempty"`
}

// Question to a spoke.
type Question struct {
	ID       string
	Ask      Ask
	Deadline time.Time
}

const (
	// MaxAnswer bounds an answer, in bytes.
	MaxAnswer = 4 << 20
	// MaxDocuments bounds the documents of a question as they are, MaxAsked as they are sent: they come down the stream
	// that carries the desired state, and must not hold it up.
	MaxDocuments = 4 << 20
	MaxAsked     = 1 << 20
)

// Encode returns a as DecodeAsk reads it.
func (a Ask) Encode() []byte {
	data, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("encode a question: %v", err)) // strings and bytes always encode
	}
	return data
}

// DecodeAsk reads what Encode wrote.
func DecodeAsk(data []byte) (a Ask, err error) {
	if err := json.Unmarshal(data, &a); err != nil {
		return a, fmt.Errorf("question: %w: %w", ErrInvalid, err)
	}
	return a, nil
}

// What an apply would do to an object.
const (
	ChangeCreate = "created"
	ChangeChange = "changed"
	ChangeDelete = "deleted"
	// ChangeHeld: it would be deleted, and the prune guard holds that.
	ChangeHeld = "held"
)

// Diff is what an apply would change in a cluster.
type Diff struct {
	// Release whose objects were compared; zero: documents that came with the question.
	Release Digest `json:"release,omitzero"`
	// Values is a unified diff of a HelmRelease's values, those that it was deployed with and those that it would be; those of
	// Secrets masked.
	Values string `json:"values,omitempty"`
	// Objects that would change, or about which it cannot be said.
	Objects []ObjectDiff `json:"objects"`
	// Unchanged is how many stay as they are.
	Unchanged int `json:"unchanged"`
	// Left is how many objects more would change, or cannot be told of, and had no room.
	Left int `json:"left,omitempty"`
}

// ObjectDiff is what would become of one object.
type ObjectDiff struct {
	Object ObjectRef `json:"object"`
	Change string    `json:"change,omitempty"`
	// Diff is a unified diff of the object's YAML before and after, values of Secrets masked; empty where Cut says that
	// it had no room.
	Diff string `json:"diff,omitempty"`
	Cut  bool   `json:"cut,omitempty"`
	// Error says why the API server would not take the object, or why it cannot be compared.
	Error string `json:"error,omitempty"`
}

// Tree is an App's objects and what they own.
type Tree struct {
	Objects []TreeObject `json:"objects"`
	// Left is how many objects had no room.
	Left int `json:"left,omitempty"`
}

// TreeObject is an object, how it is, and the objects that it owns.
type TreeObject struct {
	Object  ObjectRef    `json:"object"`
	Status  string       `json:"status"`
	Message string       `json:"message,omitempty"`
	Owned   []TreeObject `json:"owned,omitempty"`
}

// Trace is where an object of a cluster comes from.
type Trace struct {
	// Chain is the object, its owner, the owner's owner and so on.
	Chain []ObjectRef `json:"chain"`
	// App that has the last object of the chain in its inventory; zero: none of Flotilla has.
	App Key `json:"app,omitzero"`
	// Owner is what the labels of Flux say of that object, as Kind/namespace/name; empty: nothing. Declared says that the
	// cluster has such an object of Flux itself.
	Owner    string `json:"owner,omitempty"`
	Declared bool   `json:"declared,omitempty"`
	// Lost says that the owner of the last object is gone or was replaced, and which.
	Lost string `json:"lost,omitempty"`
}

// Variables are those that an App has in a cluster, by name.
type Variables struct {
	// Substitutes says that variables are put into objects: not without postBuild, and not if that has none of the App's
	// own and no substituteStrategy Always, whatever the cluster has.
	Substitutes bool       `json:"substitutes"`
	Variables   []Variable `json:"variables"`
	// Missing says of what is referred to that it is not there, or cannot be read.
	Missing []string `json:"missing,omitempty"`
	// Cluster is the one they are of.
	Cluster *ClusterMark `json:"cluster,omitempty"`
}

// ClusterMark tells a cluster from others for who has another way to it than the hub.
type ClusterMark struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Namespace is that of the spoke, in whose Secret the ID stands.
	Namespace string `json:"namespace"`
}

// Variable is a name with its value, and where that is from.
type Variable struct {
	Name string `json:"name"`
	// Value; of a Secret's, what Masked gives.
	Value string `json:"value"`
	From  string `json:"from"`
	// Secret is where a value is that is masked; nil: it is not.
	Secret *SecretKey `json:"secret,omitempty"`
	// Overrides is where else the name has a value, of a lower precedence, the highest of them first.
	Overrides []string `json:"overrides,omitempty"`
}

// SecretKey names a value of a Secret.
type SecretKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

// Masked stands in the place of the value.
func (k SecretKey) Masked() string {
	return "*** (Secret " + k.Namespace + "/" + k.Name + " key " + k.Key + ")"
}
