package source

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestHostsThatAskedToBeLeftAloneAreForgottenAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newHosts(1)
		for _, name := range []string{"a", "b"} {
			h, _ := s.enter(hostName{host: name})
			h.until = time.Now().Add(time.Minute)
			s.leave(hostName{host: name}, h)
		}
		time.Sleep(time.Hour) // of the bubble's
		s.enter(hostName{host: "c"})
		if len(s.byName) != 1 {
			t.Errorf("%d hosts are known, want one", len(s.byName))
		}
	})
}
