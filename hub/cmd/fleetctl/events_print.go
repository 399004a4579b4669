package main

import (
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// eventDocument is an event for programs.
type eventDocument struct {
	At        time.Time `json:"at"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Kind      string    `json:"kind,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name,omitempty"`
	Cluster   string    `json:"cluster,omitempty"`
	Object    string    `json:"object,omitempty"`
}

func newEventDocument(e *adminv1.Event) eventDocument {
	return eventDocument{
		At: e.GetAt().AsTime(), Type: eventType(e), Reason: e.GetReason(), Message: e.GetMessage(),
		Kind: e.GetKind(), Namespace: e.GetNamespace(), Name: e.GetName(), Cluster: e.GetCluster(), Object: e.GetObject(),
	}
}

func eventType(e *adminv1.Event) string {
	if e.GetWarning() {
		return "Warning"
	}
	return "Normal"
}

// eventPrinter prints events in the format asked for.
type eventPrinter struct {
	app   *app
	table *printer.Table
	wide  bool
}

func newEventPrinter(a *app, o eventsOptions) *eventPrinter {
	headers := []string{"LAST SEEN", "TYPE", "REASON", "CLUSTER", "OBJECT", "MESSAGE"}
	if a.flags.output == "wide" {
		headers[0] = "AT"
	}
	p := &eventPrinter{app: a, table: a.table(inColumn(1, printer.Notable), headers...), wide: a.flags.output == "wide"}
	p.table.NoHeaders = o.noHeaders
	return p
}

// all prints events as one document.
func (p *eventPrinter) all(events []*adminv1.Event) error {
	if p.app.machine() {
		_, err := p.app.emit(eventList(events))
		return err
	}
	return p.each(events)
}

func eventList(events []*adminv1.Event) any {
	list := struct {
		Items []eventDocument `json:"items"`
	}{Items: []eventDocument{}}
	for _, e := range events {
		list.Items = append(list.Items, newEventDocument(e))
	}
	return list
}

// each prints events one by one.
func (p *eventPrinter) each(events []*adminv1.Event) error {
	for _, e := range events {
		written, err := p.app.emitNext(newEventDocument(e))
		if err != nil {
			return err
		}
		if !written {
			p.table.Add(p.cells(e)...)
		}
	}
	return p.table.Flush(p.app.stdout)
}

func (p *eventPrinter) cells(e *adminv1.Event) []string {
	at := printer.Age(e.GetAt().AsTime(), p.app.now())
	if p.wide {
		at = e.GetAt().AsTime().UTC().Format(time.RFC3339)
	}
	return []string{at, eventType(e), e.GetReason(), e.GetCluster(), eventObject(e), e.GetMessage()}
}

// eventObject is what the event is about: the declared object, and the one in the cluster.
func eventObject(e *adminv1.Event) string {
	var parts []string
	for _, part := range []string{e.GetKind(), e.GetNamespace(), e.GetName()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	about := strings.Join(parts, "/")
	switch {
	case e.GetObject() == "":
		return about
	case about == "":
		return e.GetObject()
	}
	return about + " > " + e.GetObject()
}
