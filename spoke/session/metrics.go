package session

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connected                           prometheus.Gauge
	rounds                              *prometheus.CounterVec
	accepted, refused, reports, fetched prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "flotilla_session_connected", Help: "1 while a session with the hub is open."}),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "flotilla_session_rounds_total", Help: "Connections to the hub that ended, by code.",
		}, []string{"code"}),
		accepted: counter("flotilla_session_states_accepted_total", "Desired states accepted."),
		refused:  counter("flotilla_session_states_refused_total", "Messages of desired state refused, which ended the session."),
		reports:  counter("flotilla_session_reports_total", "Reports that the hub has stored."),
		fetched:  counter("flotilla_session_fetched_bytes_total", "Bytes of packs fetched."),
	}
	if reg != nil {
		reg.MustRegister(m.connected, m.rounds, m.accepted, m.refused, m.reports, m.fetched)
	}
	return m
}
