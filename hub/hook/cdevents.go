package hook

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// cdEvents calls need to know the path. Their bodies are events of CDEvents 0.4, whose rules are cdevents.dev's: see
// subjects.
func cdEvents(_ context.Context, c call) (Event, error) {
	var body cdEvent
	if err := c.decode(&body); err != nil {
		return Event{}, err
	}
	if problem := body.problem(); problem != "" {
		return Event{}, unwantedf("the body is no event of CDEvents 0.4: %s", problem)
	}
	event := Event{Name: c.Header.Get("Ce-Type"), About: quoted(body.Subject.ID), Content: c.Body}
	return event, c.wanted(event.Name)
}

// cdEvent is the part of an event that every one has.
type cdEvent struct {
	Context struct {
		Version   string `json:"version"`
		ID        string `json:"id"`
		Source    string `json:"source"`
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
	} `json:"context"`
	Subject struct {
		ID      string                     `json:"id"`
		Source  string                     `json:"source"`
		Type    string                     `json:"type"`
		Content map[string]json.RawMessage `json:"content"`
	} `json:"subject"`
}

var (
	cdEventType = regexp.MustCompile(`^dev\.cdevents\.([a-z]+\.[a-z]+)\.0\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?$`)
	cdCustom    = regexp.MustCompile(`^dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]$`)
	cdTool      = regexp.MustCompile(`^[a-zA-Z0-9]+-[a-zA-Z]+$`)
)

// problem says what an event lacks; empty: nothing.
func (e cdEvent) problem() string {
	for _, field := range []struct{ path, value string }{
		{"context.version", e.Context.Version}, {"context.id", e.Context.ID}, {"context.source", e.Context.Source},
		{"context.type", e.Context.Type}, {"context.timestamp", e.Context.Timestamp}, {"subject.id", e.Subject.ID},
	} {
		if field.value == "" {
			return field.path + " is missing"
		}
	}
	for _, field := range []struct{ path, value string }{{"context.source", e.Context.Source}, {"subject.source", e.Subject.Source}} {
		if _, err := url.Parse(field.value); err != nil {
			return field.path + " is no URI"
		}
	}
	if _, err := time.Parse(time.RFC3339, e.Context.Timestamp); err != nil {
		return "context.timestamp is no time such as 2026-01-02T15:04:05Z"
	}
	if e.Subject.Content == nil {
		return "subject.content is missing"
	}
	if cdCustom.MatchString(e.Context.Type) {
		if !cdTool.MatchString(e.Subject.Type) {
			return "subject.type is not TOOL-SUBJECT"
		}
		return ""
	}
	return e.knownProblem()
}

// knownProblem is that of an event which is CDEvents' own.
func (e cdEvent) knownProblem() string {
	match := cdEventType.FindStringSubmatch(e.Context.Type)
	if match == nil {
		return "context.type is not dev.cdevents.SUBJECT.PREDICATE.VERSION of a version 0"
	}
	needs, known := predicates[match[1]]
	if !known {
		return "context.type is of no known subject and predicate"
	}
	subject, _, _ := strings.Cut(match[1], ".")
	if want := subjects[subject]; e.Subject.Type != want {
		return "subject.type is not " + want
	}
	for field := range strings.FieldsSeq(needs) {
		if raw, given := e.Subject.Content[field]; !given || string(raw) == "null" || string(raw) == `""` {
			return "subject.content." + field + " is missing"
		}
	}
	return ""
}

// subjects of CDEvents 0.4, as types write them and as subject.type does.
var subjects = map[string]string{
	"artifact": "artifact", "branch": "branch", "build": "build", "change": "change", "environment": "environment",
	"incident": "incident", "pipelinerun": "pipelineRun", "repository": "repository", "service": "service", "taskrun": "taskRun",
	"testcaserun": "testCaseRun", "testoutput": "testOutput", "testsuiterun": "testSuiteRun", "ticket": "ticket",
}

// predicates of CDEvents 0.4, and what the content of each has to have.
var predicates = map[string]string{
	"artifact.deleted": "", "artifact.downloaded": "", "artifact.packaged": "change", "artifact.published": "", "artifact.signed": "signature",
	"branch.created": "", "branch.deleted": "",
	"build.finished": "", "build.queued": "", "build.started": "",
	"change.abandoned": "", "change.created": "", "change.merged": "", "change.reviewed": "", "change.updated": "",
	"environment.created": "", "environment.deleted": "", "environment.modified": "",
	"incident.detected": "environment", "incident.reported": "environment ticketURI", "incident.resolved": "environment",
	"pipelinerun.finished": "", "pipelinerun.queued": "", "pipelinerun.started": "pipelineName url",
	"repository.created": "name url", "repository.deleted": "", "repository.modified": "",
	"service.deployed": "environment artifactId", "service.published": "", "service.removed": "",
	"service.rolledback": "environment artifactId", "service.upgraded": "environment artifactId",
	"taskrun.finished": "", "taskrun.started": "",
	"testcaserun.finished": "outcome environment", "testcaserun.queued": "environment", "testcaserun.skipped": "", "testcaserun.started": "environment",
	"testoutput.published":  "outputType format",
	"testsuiterun.finished": "outcome environment", "testsuiterun.queued": "environment", "testsuiterun.started": "environment",
	"ticket.closed": "uri resolution", "ticket.created": "summary creator uri", "ticket.updated": "uri",
}
