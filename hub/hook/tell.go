package hook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// Reasons of a Receiver's events.
const (
	// reasonRefused: calls were not taken.
	reasonRefused = "WebhookRefused"
	// reasonFailed: calls were taken and could not do all they should.
	reasonFailed = "WebhookFailed"
)

// tellEvery is how long after an event of a Receiver the next one of the same reason comes, however many calls there are.
const tellEvery = 10 * time.Minute

// told is what people were told of.
type told struct {
	mu    sync.Mutex
	about map[string]*telling
}

type telling struct {
	at time.Time
	// untold calls since then.
	untold int
}

func newTold() *told { return &told{about: map[string]*telling{}} }

// tell makes an event, unless the last one is too new: then it counts for the next.
func (h *Hooks) tell(ctx context.Context, hook fleet.Webhook, reason, message string) {
	untold, due := h.told.due(hook.Namespace + "/" + hook.Name + " " + reason)
	if !due {
		return
	}
	if untold > 0 {
		message += fmt.Sprintf(" (and %d calls before, of which nothing was told)", untold)
	}
	h.Log.Warn("webhook", "receiver", hook.Namespace+"/"+hook.Name, "reason", reason, "err", message)
	event := fleet.FleetEvent{Warning: true, Kind: resource.Receiver.Name, Namespace: hook.Namespace, Name: hook.Name, Reason: reason, Message: message}
	if err := h.Store.AddEvent(ctx, event); err != nil {
		h.Log.Error("event not stored", "receiver", hook.Namespace+"/"+hook.Name, "err", err)
	}
}

func (t *told) due(about string) (untold int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.about[about]
	if last != nil && time.Since(last.at) < tellEvery {
		last.untold++
		return 0, false
	}
	if last != nil {
		untold = last.untold
	}
	for other, telling := range t.about { // as many as Receivers were called lately
		if age := time.Since(telling.at); age >= tellEvery && telling.untold == 0 || age > 24*time.Hour {
			delete(t.about, other)
		}
	}
	t.about[about] = &telling{at: time.Now()}
	return untold, true
}

// Results of calls, for the metric.
const (
	resultDone      = "done"
	resultPartly    = "partly"
	resultUnwanted  = "unwanted"
	resultRefused   = "refused"
	resultUnknown   = "unknown"
	resultLimited   = "limited"
	resultSuspended = "suspended"
	resultFailed    = "failed"
)

type metrics struct{ calls *prometheus.CounterVec }

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{calls: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "flotilla_hub_webhooks_total",
		Help: "Calls of webhooks by type (empty: no Receiver was looked at) and by result: done, partly, unwanted, refused, unknown (path), limited, suspended, or failed by something that is not available.",
	}, []string{"type", "result"})}
	if registry != nil {
		registry.MustRegister(m.calls)
	}
	return m
}

func (m *metrics) count(kind, result string) { m.calls.WithLabelValues(kind, result).Inc() }
