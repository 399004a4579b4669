package rollout

import "flotilla.dev/flotilla/pkg/fleet"

// site is one cluster, and the App there: found once a turn, so that what is known of 10,000 clusters is gone through in
// its order, without a look into a map for each.
type site struct {
	*Cluster
	// row is what State.Rows has of it.
	row *Row
	// has: the App is there; serves: with the Release that it has, by what its spoke says of that; placed: it should be there.
	has, serves, placed bool
	// said is the generation that the spoke's report is about; 0: there is no report.
	said uint64
	// member is its place among those of the Rollout under way; negative: it is none.
	member int
}

// has reports whether the App is in the cluster.
func (r *Row) has() bool { return r.Assignment != nil && r.Assignment.State == fleet.Active }

// settle finds the sites of all clusters.
func (t *turn) settle() {
	t.sites, t.byID = make([]site, len(t.Clusters)), make(map[string]int, len(t.Clusters))
	placed := t.places()
	for i := range t.Clusters {
		s := &t.sites[i]
		s.Cluster, s.row, s.member = &t.Clusters[i], &t.Rows[i], -1
		s.has = s.row.has()
		if r := s.row.Report; r != nil {
			s.said = r.Generation
			s.serves = s.has && r.Available && r.Release == s.row.Release && r.Generation >= s.row.Assignment.Pin
		}
		s.placed = placed(s.Cluster, s.has)
		t.byID[s.ID] = i
	}
}

// under makes a Rollout the one under way.
func (t *turn) under(ro *Rollout) {
	t.ro, t.seats, t.first = ro, make([]*site, len(ro.Members)), make([]int, len(ro.Waves)+1)
	for i := range t.sites {
		t.sites[i].member = -1
	}
	for i := range ro.Members {
		m := &ro.Members[i]
		if at, exists := t.byID[m.Cluster]; exists {
			t.seats[i] = &t.sites[at]
			t.seats[i].member = i
		}
		t.first[m.Wave+1] = i + 1
	}
	for i := range ro.Waves {
		t.first[i+1] = max(t.first[i], t.first[i+1]) // one without members begins where it ends
	}
}

// nowhere is where the members are whose cluster is gone.
var nowhere = site{Cluster: &Cluster{}, row: &Row{}, member: -1}

// at is the site of a member of the Rollout under way.
func (t *turn) at(m *Member) *site {
	if s := t.seats[t.first[m.Wave]+m.Turn]; s != nil {
		return s
	}
	return &nowhere
}

// memberAt is the member that a site is in the Rollout under way; nil: it is none.
func (t *turn) memberAt(s *site) *Member {
	if t.ro == nil || s.member < 0 {
		return nil
	}
	return &t.ro.Members[s.member]
}

// site of a cluster; nil: there is none.
func (t *turn) site(cluster string) *site {
	if i, exists := t.byID[cluster]; exists {
		return &t.sites[i]
	}
	return nil
}

// member of the Rollout under way; nil: the cluster is none, or is gone.
func (t *turn) member(cluster string) *Member {
	if s := t.site(cluster); s != nil {
		return t.memberAt(s)
	}
	return nil
}

// of are the members of a wave of the Rollout under way.
func (t *turn) of(wave int) []Member { return t.ro.Members[t.first[wave]:t.first[wave+1]] }
