package fleet

import "fmt"

// Dependency is an App that has to be ready first.
type Dependency struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// ReadyExpr is a CEL expression over self and dep that takes the place of the usual check. Both are objects with
	// apiVersion, kind, metadata (name, namespace, labels, annotations, generation), spec, and the status in that cluster:
	// observedGeneration and the conditions Ready and Healthy. Revisions are not known there.
	ReadyExpr string `json:"readyExpr,omitempty"`
}

// App is the Key of the dependency of an App of that home.
func (d Dependency) App(home string) Key {
	return Key{Home: home, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name}
}

// Prerequisite is an App, as the hub knows it, that another one of the same Source depends on: what the Source's Revision
// makes of it has to be ready first.
type Prerequisite struct {
	App Key
	// Generation of its declaration, and whether that suspends it.
	Generation int64
	Suspended  bool
	AppStatus
}

// Lacks says why an App of that status has to wait for it, in every cluster; empty: it has not.
func (p Prerequisite) Lacks(of AppStatus) string {
	suspended := ""
	if p.Suspended {
		suspended = ", and suspended"
	}
	name := "dependency " + p.App.Words()
	switch {
	case p.Revision == "" && p.Reason == "":
		return fmt.Sprintf("%s is not built yet%s", name, suspended)
	case p.Reason != "":
		return fmt.Sprintf("%s is not built at revision %s: %s: %s", name, p.Attempted, p.Reason, p.Message)
	case p.Revision != of.Revision && p.Revision != of.Attempted:
		return fmt.Sprintf("%s is at revision %s%s, not at %s", name, p.Revision, suspended, of.Revision)
	case p.Generation != p.ObservedGeneration && !p.Suspended:
		return name + " is not built as it is declared yet"
	}
	return ""
}
