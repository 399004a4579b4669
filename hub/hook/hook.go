package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
)

// Store is what the hooks need of the store.
type Store interface {
	Webhooks(ctx context.Context, path string) ([]fleet.Webhook, error)
	Object(ctx context.Context, kind, namespace, name string) (*resource.Object, error)
	Labelled(ctx context.Context, kind, namespace string, labels map[string]string) ([]*resource.Object, error)
	CallDue(ctx context.Context, objects []*resource.Object) error
	AddEvent(ctx context.Context, event fleet.FleetEvent) error
}

// Config is what Hooks need.
type Config struct {
	Store Store
	// Client asks issuers of tokens for their keys. It says which addresses may be reached: tenants name issuers.
	Client *http.Client
	// GoogleKeys is where the keys are that Google signs tokens of type gcr with; default Google's address.
	GoogleKeys string
	// CrossNamespaceRefs lets Receivers select objects of other namespaces.
	CrossNamespaceRefs bool
	// Rate is how many calls of a path are taken in a second in the long run, default 50, and Burst how many at once,
	// default 1,000.
	Rate  float64
	Burst int

	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Hooks take calls.
type Hooks struct {
	Config
	keys    *issuers
	limits  *limits
	told    *told
	metrics *metrics
	// lookups bounds those under way: of paths that nobody has there are as many as a hostile sender likes.
	lookups chan struct{}
	// turns bounds the work that a good call makes, shared out among namespaces.
	turns *run.Turns
}

// Bounds of what is done at the same time, and of the time that a call takes.
const (
	lookupsAtOnce = 8
	callsAtOnce   = 4
	callTime      = 15 * time.Second
)

// New returns Hooks.
func New(config Config) *Hooks {
	config.GoogleKeys = cmp.Or(config.GoogleKeys, googleKeys)
	return &Hooks{
		Config: config, keys: newIssuers(config.Client, config.GoogleKeys), limits: newLimits(cmp.Or(config.Rate, 50), cmp.Or(config.Burst, 1000)),
		told: newTold(), metrics: newMetrics(config.Metrics),
		lookups: make(chan struct{}, lookupsAtOnce), turns: run.NewTurns(callsAtOnce, callsAtOnce),
	}
}

// pathPattern is the form of every path there is.
var pathPattern = regexp.MustCompile(`^` + regexp.QuoteMeta(flux.WebhookPrefix) + `[0-9a-f]{64}$`)

// What callers are told. A call that is refused and a path that nobody has are told the same.
const (
	textDone     = "ok"
	textRefused  = "not found"
	textAway     = "not available now: try again"
	textLimited  = "too many calls: try again"
	textTooLarge = "the body is too large"
	textUnread   = "the body ended early"
	textPartly   = "not all that is to be looked at could be: the Receiver's events say why"
)

// Call takes a call of a path and returns how to answer it. The body is read to its end, or to its bound, whoever calls.
func (h *Hooks) Call(ctx context.Context, path string, header http.Header, body io.Reader) (code int, text string) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if !h.limits.take(path) {
		h.metrics.count("", resultLimited)
		return http.StatusTooManyRequests, textLimited
	}
	hooks, err := h.find(ctx, path)
	if err != nil {
		h.Log.Error("webhook not looked up", "err", err)
		h.metrics.count("", resultFailed)
		return http.StatusServiceUnavailable, textAway
	}
	if len(hooks) == 0 {
		h.metrics.count("", resultUnknown)
		if _, err := io.Copy(io.Discard, body); err != nil {
			return unread(err)
		}
		return http.StatusNotFound, textRefused
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return unread(err)
	}
	return h.callAll(ctx, hooks, Request{Header: header, Body: content})
}

func unread(err error) (code int, text string) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, textTooLarge
	}
	return http.StatusBadRequest, textUnread
}

// find returns the Receivers of a path.
func (h *Hooks) find(ctx context.Context, path string) ([]fleet.Webhook, error) {
	if !pathPattern.MatchString(path) {
		return nil, nil
	}
	select {
	case h.lookups <- struct{}{}:
		defer func() { <-h.lookups }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn: %w", ctx.Err())
	}
	return h.Store.Webhooks(ctx, path)
}

// callAll has each Receiver of a path judge the call. Mostly there is one; the answer is that of the one to which the call
// means most.
func (h *Hooks) callAll(ctx context.Context, hooks []fleet.Webhook, request Request) (code int, text string) {
	code, text = http.StatusNotFound, textRefused
	for _, hook := range hooks {
		c, t := h.call(ctx, hook, request)
		if rank(c) > rank(code) {
			code, text = c, t
		}
	}
	return code, text
}

// rank puts refusals last, and first what a sender has to do something about.
func rank(code int) int {
	switch code {
	case http.StatusNotFound:
		return 0
	case http.StatusBadRequest:
		return 1
	case http.StatusOK:
		return 2
	}
	return 3
}

// call is a call of one Receiver.
func (h *Hooks) call(ctx context.Context, hook fleet.Webhook, request Request) (code int, text string) {
	name := hook.Namespace + "/" + hook.Name
	var spec flux.Receiver
	if err := json.Unmarshal(hook.Spec, &spec); err != nil {
		h.Log.Error("webhook not taken", "receiver", name, "err", err)
		return http.StatusInternalServerError, textPartly
	}
	done, err := h.turns.Take(ctx, hook.Namespace)
	if err != nil {
		h.metrics.count(spec.Type, resultFailed)
		return http.StatusServiceUnavailable, textAway
	}
	defer done()
	event, err := Verify(ctx, spec, hook.Secret, request, h.keys)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return h.refuse(ctx, hook, spec, refusal)
	case err != nil: // the issuer's keys could not be had
		h.metrics.count(spec.Type, resultFailed)
		h.tell(ctx, hook, reasonFailed, err.Error())
		return http.StatusServiceUnavailable, textAway
	case spec.Suspend:
		h.metrics.count(spec.Type, resultSuspended)
		return http.StatusServiceUnavailable, "the Receiver is suspended"
	}
	return h.act(ctx, hook, spec, event)
}

func (h *Hooks) refuse(ctx context.Context, hook fleet.Webhook, spec flux.Receiver, refusal *Refusal) (code int, text string) {
	h.tell(ctx, hook, reasonRefused, refusal.Error())
	if refusal.Authentic {
		h.metrics.count(spec.Type, resultUnwanted)
		return http.StatusBadRequest, refusal.Error()
	}
	h.metrics.count(spec.Type, resultRefused)
	return http.StatusNotFound, textRefused
}

// act makes due what a good call is about.
func (h *Hooks) act(ctx context.Context, hook fleet.Webhook, spec flux.Receiver, event Event) (code int, text string) {
	name := hook.Namespace + "/" + hook.Name
	objects, problems, err := h.selected(ctx, hook, spec, event)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return h.refuse(ctx, hook, spec, refusal)
	}
	if err == nil {
		err = h.Store.CallDue(ctx, objects)
	}
	if err != nil {
		h.Log.Error("webhook's call not recorded", "receiver", name, "err", err)
		h.metrics.count(spec.Type, resultFailed)
		return http.StatusServiceUnavailable, textAway
	}
	h.Log.Info("webhook called", "receiver", name, "type", spec.Type, "event", event.Name, "about", event.About, "objects", len(objects))
	if len(problems) > 0 {
		h.metrics.count(spec.Type, resultPartly)
		h.tell(ctx, hook, reasonFailed, listed(problems))
		return http.StatusInternalServerError, textPartly
	}
	h.metrics.count(spec.Type, resultDone)
	return http.StatusOK, textDone
}
