package helm

import (
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/spoke/helm/job"
)

type metrics struct {
	actions   *prometheus.CounterVec
	processes prometheus.Counter
	// corrections are of objects, by applies.
	corrections prometheus.Counter
}

// newMetrics makes the package's metrics and registers them, unless reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_spoke_helm_actions_total", Help: "What Helm was told to do to releases, and how that ended.",
		}, []string{"action", "result"}),
		processes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "flotilla_spoke_helm_processes_total", Help: "Processes with Helm's SDK that were started.",
		}),
	}
	m.corrections = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "flotilla_spoke_helm_drift_corrections_total", Help: "Objects of Helm releases that others had changed and that were put right.",
	})
	if reg != nil {
		reg.MustRegister(m.actions, m.processes, m.corrections)
	}
	return m
}

func (m *metrics) count(action job.Action, result string) {
	m.actions.WithLabelValues(string(action), result).Inc()
}
