package spoke

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// temporary registers metrics that go with the parts that made them, since after a lost Lease new parts make them again.
type temporary struct {
	prometheus.Registerer

	mu         sync.Mutex
	registered []prometheus.Collector
}

// Register registers until end.
func (t *temporary) Register(collector prometheus.Collector) error {
	if err := t.Registerer.Register(collector); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.registered = append(t.registered, collector)
	return nil
}

// MustRegister registers until end.
func (t *temporary) MustRegister(collectors ...prometheus.Collector) {
	for _, collector := range collectors {
		if err := t.Register(collector); err != nil {
			panic(err)
		}
	}
}

func (t *temporary) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, collector := range t.registered {
		t.Unregister(collector)
	}
	t.registered = nil
}
