package rollout

// Measured is the answer to a Check.
type Measured struct {
	Rollout string
	Wave    int
	After   bool
	Gate    int
	Cluster string
	Attempt int
	Measurement
}

// apply takes no notice of an answer to another question than the last one.
func (c Measured) apply(t *turn) error {
	if t.ro == nil || t.ro.ID != c.Rollout || c.Wave >= len(t.ro.Waves) {
		return nil
	}
	gates, policies := t.ro.Waves[c.Wave].Before, t.ro.policyOf(c.Wave).Before
	if c.After {
		gates, policies = t.ro.Waves[c.Wave].After, t.ro.policyOf(c.Wave).After
	}
	if c.Gate >= len(gates) {
		return nil
	}
	g := &gates[c.Gate]
	for i := range g.Probes {
		if p := &g.Probes[i]; p.Cluster == c.Cluster && p.Attempt == c.Attempt && !p.Asked.IsZero() && g.Phase == GateRunning {
			m := c.Measurement
			m.At, m.Cluster = t.Now, t.nameOf(c.Cluster)
			t.answer(g, p, policies[c.Gate], m)
		}
	}
	return nil
}
