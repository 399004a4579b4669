package fleet

// Taint keeps Apps off a cluster whose Placements do not tolerate it, as Kubernetes' taints keep Pods off nodes.
type Taint struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	// Effect is NoSchedule: Apps that are there stay; or NoExecute: they go, as if the cluster did not match any more.
	Effect TaintEffect `json:"effect"`
}

// TaintEffect is what a Taint does.
type TaintEffect string

// The effects.
const (
	NoSchedule TaintEffect = "NoSchedule"
	NoExecute  TaintEffect = "NoExecute"
)

// Toleration says which Taints a Placement does not mind.
type Toleration struct {
	// Key of the Taint; empty, with Exists: every one.
	Key string `json:"key,omitempty"`
	// Operator is Equal (default) or Exists.
	Operator TolerationOperator `json:"operator,omitempty"`
	Value    string             `json:"value,omitempty"`
	// Effect; empty: each.
	Effect TaintEffect `json:"effect,omitempty"`
}

// TolerationOperator is how the value counts.
type TolerationOperator string

// The operators.
const (
	TolerateEqual  TolerationOperator = "Equal"
	TolerateExists TolerationOperator = "Exists"
)

// String is "key=value:Effect", as kubectl writes it.
func (t Taint) String() string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	return text + ":" + string(t.Effect)
}

// Tolerates reports whether Apps may be on a cluster with those Taints, where they are already or not.
func (p Placement) Tolerates(taints []Taint, there bool) bool {
	_, kept := p.KeptOffBy(taints, there)
	return !kept
}

// KeptOffBy returns the first Taint that keeps Apps off a cluster, where they are already or not.
func (p Placement) KeptOffBy(taints []Taint, there bool) (Taint, bool) {
	for _, taint := range taints {
		if taint.Effect == NoSchedule && there {
			continue
		}
		if !tolerated(taint, p.Tolerations) {
			return taint, true
		}
	}
	return Taint{}, false
}

func tolerated(taint Taint, tolerations []Toleration) bool {
	for _, t := range tolerations {
		switch {
		case t.Effect != "" && t.Effect != taint.Effect, t.Key != "" && t.Key != taint.Key:
		case t.Operator == TolerateExists, t.Value == taint.Value:
			return true
		}
	}
	return false
}

func (t Taint) validate(fields *Fields, at string) {
	fields.Require(at+".key", t.Key)
	fields.Require(at+".effect", string(t.Effect))
	oneOf(fields, at+".effect", t.Effect, NoSchedule, NoExecute)
}

func (t Toleration) validate(fields *Fields, at string) {
	oneOf(fields, at+".operator", t.Operator, TolerateEqual, TolerateExists)
	oneOf(fields, at+".effect", t.Effect, NoSchedule, NoExecute)
	switch {
	case t.Key == "" && t.Operator != TolerateExists:
		fields.Refuse(at+".key", "is required, or `operator: Exists`, which tolerates every taint")
	case t.Operator == TolerateExists && t.Value != "":
		fields.Refuse(at+".value", "means nothing with `operator: Exists`")
	}
}
