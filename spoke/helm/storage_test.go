package helm

import (
	"log/slog"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestOfReleasesThatAreGoneOnlyWhatIsExpectedIsKept(t *testing.T) {
	t.Parallel()
	woken := 0
	s := newStorage(nil, func(fleet.Key) { woken++ }, slog.New(slog.DiscardHandler))
	saw := func(release string, version int, present bool) {
		s.saw(&metav1.ObjectMeta{
			Name: release + ".v1", Namespace: "apps", Labels: map[string]string{nameLabel: release}, ResourceVersion: strconv.Itoa(version),
		}, present)
	}
	app, mine := fleet.Key{Name: "app"}, place{"apps", "mine"}
	saw("mine", 1, true)
	saw("others", 2, true)
	s.expect(app, expectation{mine, 1, []string{"mine.v1"}})
	saw("others", 3, false)
	saw("mine", 4, false)
	if len(s.releases) != 1 || s.releases[mine] == nil || woken != 1 {
		t.Errorf("kept is %v; woken %d times", s.releases, woken)
	}
	s.forget(app)
	if len(s.releases) != 0 {
		t.Errorf("kept is %v", s.releases)
	}
	s.expect(app, expectation{mine, 3, []string{"mine.v1"}}) // it was read before it went
	if woken != 2 {
		t.Error("that it is gone is not noticed")
	}
	s.expect(app, expectation{mine, 4, nil})
	if woken != 2 {
		t.Error("what was known to be gone wakes")
	}
	saw("mine", 5, true)
	s.forget(app)
	s.listed(nil, 6)
	if len(s.releases) != 0 {
		t.Errorf("after a list without it, kept is %v", s.releases)
	}
}
