package main

import (
	"errors"
	"fmt"
)

// each does something with every ref, whatever becomes of the others, and tells all that failed at once. What do returns
// besides, unless it is nil, goes into the one document that a program reads.
func (a *app) each(refs []ref, doing string, do func(i int) (document any, err error)) error {
	return a.eachOf(refs, len(refs) == 1, doing, do)
}

// eachOf is each; single: one object was asked for, so that the document is no list.
func (a *app) eachOf(refs []ref, single bool, doing string, do func(i int) (document any, err error)) error {
	if len(refs) == 0 && a.machine() {
		return a.printRefs(nil, doing)
	}
	var documents []any
	var failures []*failure
	why := ""
	for i, r := range refs {
		document, err := do(i)
		if document != nil {
			documents = append(documents, document)
		}
		if err == nil {
			continue
		}
		f := a.explain(doing+" "+r.String(), err)
		if f.code == exitUnreachable || f.code == exitInterrupted { // it is the same for the rest
			return errors.Join(f, a.emitEach(documents, single))
		}
		failures = append(failures, f)
		why += f.what + "\n"
	}
	if err := a.emitEach(documents, single); err != nil {
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

func (a *app) emitEach(documents []any, single bool) error {
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
