package main

import (
	"fmt"
)

// each does something with every ref, whatever becomes of the others, and tells all that failed at once.
func (a *app) each(refs []ref, doing string, do func(i int) error) error {
	var failures []*failure
	why := ""
	for i, r := range refs {
		err := do(i)
		if err == nil {
			continue
		}
		f := a.explain(doing+" "+r.String(), err)
		if f.code == exitUnreachable || f.code == exitInterrupted {
			return f // it is the same for the rest
		}
		failures = append(failures, f)
		why += f.what + "\n"
	}
	if err := a.emitCollected(len(refs) == 1); err != nil {
		return err
	}
	switch {
	case len(failures) == 0:
		return nil
	case len(refs) == 1:
		return failures[0]
	}
	return &failure{
		code: failures[0].code, what: fmt.Sprintf("%d of %d objects: could not %s", len(failures), len(refs), doing),
		why: why, next: failures[0].next,
	}
}

// collect keeps what became of one ref for the document that each prints at its end.
func (a *app) collect(document any) { a.collected = append(a.collected, document) }

func (a *app) emitCollected(single bool) error {
	documents := a.collected
	a.collected = nil
	switch {
	case len(documents) == 0:
		return nil
	case single:
		_, err := a.emit(documents[0])
		return err
	}
	_, err := a.emit(struct {
		Items []any `json:"items"`
	}{documents})
	return err
}

// printRefs says on stdout what was done to each ref.
func (a *app) printRefs(refs []ref, done string) error {
	if a.machine() {
		_, err := a.emit(refDocuments(refs))
		return err
	}
	for _, r := range refs {
		line := r.typed()
		if a.flags.output != "name" {
			line += " " + done
		}
		if _, err := fmt.Fprintln(a.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// refDocument is a ref for machines.
type refDocument struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Cluster   string `json:"cluster,omitempty"`
}

func (r ref) document() refDocument {
	return refDocument{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster}
}

// refDocuments is one ref as it is, several as a list.
func refDocuments(refs []ref) any {
	if len(refs) == 1 {
		return refs[0].document()
	}
	list := struct {
		Items []refDocument `json:"items"`
	}{Items: []refDocument{}}
	for _, r := range refs {
		list.Items = append(list.Items, r.document())
	}
	return list
}
