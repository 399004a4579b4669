package session

import (
	"log/slog"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/telemetry"
)

// repeatAfter is how long a trouble that goes on is not logged again.
const repeatAfter = 5 * time.Minute

// trouble logs what goes on failing: when it begins, when its reason changes, and now and then.
type trouble struct {
	log *slog.Logger

	mu     sync.Mutex
	last   string
	logged time.Time
}

func (t *trouble) warn(message string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if text := message + err.Error(); text != t.last || now.Sub(t.logged) >= repeatAfter {
		t.last, t.logged = text, now
		t.log.Warn(message, telemetry.KeyErr, err)
	}
}

// over says that whatever it was is over.
func (t *trouble) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = ""
}
