package fleet

import (
	"encoding/json"
	"fmt"
)

// GateQuestion is what an analysis or a webhook asks, and about what.
type GateQuestion struct {
	Gate Gate `json:"gate"`
	// App of the Rollout, which goes to Release, and the wave that it is at, with its phase: Before, Updating or After.
	App     Key    `json:"app"`
	Rollout string `json:"rollout"`
	Release Digest `json:"release"`
	Wave    string `json:"wave"`
	Phase   string `json:"phase"`
	// Clusters by name that run the Release; Cluster is the one that asks, empty: the hub does.
	Clusters []string `json:"clusters,omitempty"`
	Cluster  string   `json:"cluster,omitempty"`
}

// Encode returns q as DecodeGateQuestion reads it; nil: nothing.
func (q *GateQuestion) Encode() []byte {
	if q == nil {
		return nil
	}
	data, err := json.Marshal(q)
	if err != nil {
		panic(fmt.Sprintf("encode a gate's question: %v", err)) // strings and numbers that were decoded always encode
	}
	return data
}

// DecodeGateQuestion reads what Encode wrote.
func DecodeGateQuestion(data []byte) (*GateQuestion, error) {
	q := new(GateQuestion)
	if err := json.Unmarshal(data, q); err != nil {
		return nil, fmt.Errorf("question of a gate: %w: %w", ErrInvalid, err)
	}
	return q, nil
}

// GateAnswer is what came of a GateQuestion.
type GateAnswer struct {
	Result GateResult `json:"result"`
	// Value that was found; finite.
	Value   float64 `json:"value"`
	Message string  `json:"message,omitempty"`
}

// GateResult is what an answer says.
type GateResult string

// The results. Again is a webhook's: it is to be asked once more. Error: there is no answer.
const (
	ResultPass   GateResult = "Pass"
	ResultFail   GateResult = "Fail"
	ResultNoData GateResult = "NoData"
	ResultError  GateResult = "Error"
	ResultAgain  GateResult = "Again"
)
