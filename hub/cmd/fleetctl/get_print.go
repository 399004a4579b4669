package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
)

// printObjects writes objects in the format asked for; single: one object was asked for, so that it is no list.
func (a *app) printObjects(objects []*object, single bool, o getOptions) error {
	switch a.flags.output {
	case "json", "yaml":
		_, err := a.emit(document(objects, single))
		return err
	case "name":
		for _, object := range objects {
			if _, err := fmt.Fprintln(a.stdout, object.ref().typed()); err != nil {
				return err
			}
		}
		return nil
	}
	for i, group := range groups(objects) {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		t := a.objectTable(group[0], len(groups(objects)) > 1, o)
		for _, object := range group {
			t.add(object)
		}
		if err := t.Flush(a.stdout); err != nil {
			return err
		}
	}
	return nil
}

func document(objects []*object, single bool) any {
	if single && len(objects) == 1 {
		return objects[0].raw
	}
	var items []json.RawMessage
	for _, object := range objects {
		items = append(items, object.raw)
	}
	return printer.NewList(items)
}

// groups are runs of objects that have the same columns.
func groups(objects []*object) [][]*object {
	var all [][]*object
	for _, o := range objects {
		if last := len(all) - 1; last >= 0 && sameColumns(all[last][0], o) {
			all[last] = append(all[last], o)
			continue
		}
		all = append(all, []*object{o})
	}
	return all
}

func sameColumns(a, b *object) bool {
	return a.Kind == b.Kind && (a.ref().cluster == "") == (b.ref().cluster == "")
}

// objectTable is a table of objects of one kind.
type objectTable struct {
	*printer.Table
	app     *app
	columns []column
}

// objectTable makes the table that fits objects like sample; typed: with the kind before the name.
func (a *app) objectTable(sample *object, typed bool, o getOptions) *objectTable {
	columns := columnsOf(sample, columnOptions{
		namespace: o.allNamespaces, wide: a.flags.output == "wide", typed: typed,
	})
	var headers []string
	for _, c := range columns {
		headers = append(headers, c.header)
	}
	meaning := func(_ []string, i int) printer.Meaning { return columns[i].meaning }
	t := &objectTable{Table: a.table(meaning, headers...), app: a, columns: columns}
	t.NoHeaders = o.noHeaders
	return t
}

func (t *objectTable) add(o *object) {
	now := t.app.now()
	var cells []string
	for _, c := range t.columns {
		cells = append(cells, c.cell(o, now))
	}
	t.Add(cells...)
}

// watchPrinter prints what several follows tell, a row or a document a change.
type watchPrinter struct {
	app     *app
	options getOptions
	typed   bool

	mu     sync.Mutex
	tables map[string]*objectTable
}

func newWatchPrinter(a *app, s selection, o getOptions) *watchPrinter {
	p := &watchPrinter{app: a, options: o, tables: map[string]*objectTable{}}
	for _, q := range s.queries {
		p.typed = p.typed || q.kind.Name != s.queries[0].kind.Name
	}
	return p
}

func (p *watchPrinter) listed(objects []*object) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var touched []*objectTable
	for _, o := range objects {
		t, err := p.print("ADDED", o)
		if err != nil {
			return err
		}
		if t != nil && (len(touched) == 0 || touched[len(touched)-1] != t) {
			touched = append(touched, t)
		}
	}
	for _, t := range touched { // once for all rows, so that the columns fit them
		if err := t.Flush(p.app.stdout); err != nil {
			return err
		}
	}
	return nil
}

func (p *watchPrinter) changed(o *object, deleted bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := "MODIFIED"
	if deleted {
		what = "DELETED"
		o = gone(o)
	}
	t, err := p.print(what, o)
	if t != nil {
		err = t.Flush(p.app.stdout)
	}
	return err
}

// print writes o, or adds it to the table that it returns.
func (p *watchPrinter) print(what string, o *object) (*objectTable, error) {
	var document any = o.raw
	if p.options.watchEvents {
		document = struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}{what, o.raw}
	}
	if written, err := p.app.emitNext(document); written {
		return nil, err
	}
	if p.app.flags.output == "name" {
		_, err := fmt.Fprintln(p.app.stdout, o.ref().typed())
		return nil, err
	}
	key := o.Kind + "/" + fmt.Sprint(o.ref().cluster == "")
	t := p.tables[key]
	if t == nil {
		t = p.app.objectTable(o, p.typed, p.options)
		p.tables[key] = t
	}
	t.add(o)
	return t, nil
}

// gone is o as a row shows it once it is deleted: nothing is known of it any more.
func gone(o *object) *object {
	row := *o
	row.Status = objectStatus{Conditions: []condition{{Type: "Ready", Status: "Deleted", Message: "deleted"}}}
	return &row
}
