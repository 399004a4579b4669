package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// Request is one that the API server answered, as its audit log has it. A watch is noted when it begins.
type Request struct {
	// Verb is Kubernetes' own: get, list, watch, create, update, patch, delete, deletecollection.
	Verb string
	// Group, Version, Resource and Subresource say what kind of object: apps, v1, deployments, status. All empty for a
	// path that names no resource.
	Group, Version, Resource, Subresource string
	// Namespace and Name are the object's, where the request names it: a created object's name is in no URL, but the
	// API server notes it.
	Namespace, Name string
	// Path is the URL's, without the query.
	Path string
	// DryRun is true when nothing was to be written.
	DryRun bool
	// FieldManager is the query's. Force is true for an apply that takes fields over.
	FieldManager string
	Force        bool
	// User is who the client was authenticated as, UserAgent what it called itself.
	User, UserAgent string
	// Code is the answer's HTTP status.
	Code int
	// Received is when the request came.
	Received time.Time
}

// Requests are in the order in which they were answered.
type Requests []Request

// Where returns those that match.
func (r Requests) Where(match func(Request) bool) Requests {
	var matching Requests
	for _, request := range r {
		if match(request) {
			matching = append(matching, request)
		}
	}
	return matching
}

// TestRequests returns the requests that were answered while f ran, and those before it.
func TestRequests(t testing.TB, c *Cluster, f func()) (during, before Requests) {
	t.Helper()
	look := func() Requests {
		t.Helper()
		all, err := c.Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before = look()
	f()
	return look()[len(before):], before
}

// Requests returns every request answered so far, save for those of the lab's own parts and of the API server itself.
// Later calls return the same ones first, so that reqs[len(before):] is what came since. The cluster must have been
// started with Audit.
func (c *Cluster) Requests(ctx context.Context) (Requests, error) {
	if !c.config.Audit {
		return nil, errors.New("cluster " + c.config.Name + " was started without Audit")
	}
	// The log is written in the order of answers, a moment after each: once a question of our own stands in it, so
	// does all that was answered before.
	marker := markerPath + rand.Text()
	if err := c.ask(ctx, marker); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	err := poll(ctx, func() error { return c.requests.readTo(marker) })
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return c.requests.all(), nil
}

func (c *Cluster) ask(ctx context.Context, path string) error {
	client, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin.Host+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close() // not found, which is as good
}

// markerPath holds nothing.
const markerPath = "/flotilla-lab/"

// auditPolicy leaves out what the lab's own parts do, and probes. Metadata has all that Request holds.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "` + controllersUser + `", "` + podletUser + `"]
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/metrics"]
- level: Metadata
`

// requestLog reads the audit log from where it stopped.
type requestLog struct {
	path string

	mu      sync.Mutex
	offset  int64
	read    Requests
	markers map[string]bool
}

// readTo reads what was added, and returns an error while the marker is not among it.
func (l *requestLog) readTo(marker string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	added, err := io.ReadAll(io.NewSectionReader(f, l.offset, 1<<62))
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(added, []byte("\n"))
		if !whole {
			break
		}
		if err := l.add(line); err != nil {
			return err
		}
		l.offset += int64(len(line)) + 1
		added = rest
	}
	if !l.markers[marker] {
		return errors.New("the latest request is not in it yet")
	}
	delete(l.markers, marker)
	return nil
}

func (l *requestLog) all() Requests {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.read)
}

// event is the part of an audit event that is used.
type event struct {
	Stage          string    `json:"stage"`
	Verb           string    `json:"verb"`
	RequestURI     string    `json:"requestURI"`
	UserAgent      string    `json:"userAgent"`
	ReceivedAt     time.Time `json:"requestReceivedTimestamp"`
	User           struct{ Username string }
	ResponseStatus struct{ Code int }
	ObjectRef      struct{ Resource, Namespace, Name, APIGroup, APIVersion, Subresource string }
}

func (l *requestLog) add(line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	uri, err := url.Parse(e.RequestURI)
	if err != nil {
		return err
	}
	if strings.HasPrefix(uri.Path, markerPath) {
		if l.markers == nil {
			l.markers = map[string]bool{}
		}
		l.markers[uri.Path] = true
		return nil
	}
	// Requests that last are noted at both ends: of a watch the beginning counts, of others the end.
	if started := e.Stage == "ResponseStarted"; started != (e.Verb == "watch" && e.ResponseStatus.Code < 300) {
		return nil
	}
	query := uri.Query()
	l.read = append(l.read, Request{
		Verb:  e.Verb,
		Group: e.ObjectRef.APIGroup, Version: e.ObjectRef.APIVersion,
		Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource,
		Namespace: e.ObjectRef.Namespace, Name: e.ObjectRef.Name,
		Path:         uri.Path,
		DryRun:       query.Has("dryRun"),
		FieldManager: query.Get("fieldManager"),
		Force:        query.Get("force") == "true",
		User:         e.User.Username,
		UserAgent:    e.UserAgent,
		Code:         e.ResponseStatus.Code,
		Received:     e.ReceivedAt,
	})
	return nil
}
