package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

// hosts bounds the conversations that each host has at a time, and leaves those alone for a while that asked for it.
type hosts struct {
	limit int

	mu     sync.Mutex
	byName map[hostName]*host
}

// hostName is a host as it is reached. What a Source's own proxy, or a server that only its own authorities vouch for,
// says of itself counts for whoever goes that way, not for the host of that name.
type hostName struct{ host, route string }

type host struct {
	turns *run.Turns
	users int
	// until is when the host may be asked again.
	until time.Time
}

// maxPause bounds what a host may ask for: a wrong number there must not end a source.
const maxPause = 15 * time.Minute

func newHosts(limit int) *hosts { return &hosts{limit: limit, byName: map[hostName]*host{}} }

// Turn waits until the upstream's host has room for a conversation, which lasts until done is called. A tenant that has none
// with it is let in beside those of others that are slow. A host that asked to be left alone is a KindBusy error with the
// time that is left.
func (n *Network) Turn(ctx context.Context, u Upstream) (done func(), err error) {
	parsed, err := url.Parse(u.URL)
	if err != nil {
		return nil, u.Fail(KindInvalid, "%s is not a URL", u.addressField())
	}
	name := hostName{hostOf(parsed), u.Route()}
	h, left := n.hosts.enter(name)
	if left > 0 {
		n.hosts.leave(name, h)
		return nil, u.busy(left)
	}
	end, err := h.turns.Take(ctx, u.Party)
	if err != nil {
		n.hosts.leave(name, h)
		return nil, err
	}
	return func() { end(); n.hosts.leave(name, h) }, nil
}

// hostOf is the one name of a host and port, however a URL writes them: ports that go without saying are left out.
func hostOf(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch port := u.Port(); {
	case port == "", u.Scheme == "ssh" && port == "22", u.Scheme != "ssh" && (port == "80" || port == "443"):
		return host
	default:
		return net.JoinHostPort(host, port)
	}
}

// Busy is the error of Turn while the upstream's host has asked to be left alone, and nil else.
func (n *Network) Busy(u Upstream) *Error {
	parsed, err := url.Parse(u.URL)
	if err != nil {
		return nil
	}
	n.hosts.mu.Lock()
	defer n.hosts.mu.Unlock()
	h := n.hosts.byName[hostName{hostOf(parsed), u.Route()}]
	if h == nil || time.Until(h.until) <= 0 {
		return nil
	}
	return u.busy(time.Until(h.until))
}

// Route names what the Secrets say of the way to the upstream: a proxy, or authorities to trust; empty: neither.
func (u Upstream) Route() string {
	sum, any := sha256.New(), false
	for _, field := range slices.Sorted(maps.Keys(u.Secrets)) {
		for _, key := range slices.Sorted(maps.Keys(u.Secrets[field])) {
			if key == "ca.crt" || key == "caFile" || strings.HasSuffix(field, "proxySecretRef") {
				value := u.Secrets[field][key]
				_, _ = fmt.Fprintf(sum, "%d:%s%d:%s%d:%s", len(field), field, len(key), key, len(value), value) // never fails
				any = true
			}
		}
	}
	if !any {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (u Upstream) busy(left time.Duration) *Error {
	failure := u.Fail(KindBusy, "the server asked to be left alone for %s; it is tried again then", left.Round(time.Second))
	failure.RetryAfter = left
	return failure
}

func (s *hosts) enter(name hostName) (h *host, left time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.byName, func(_ hostName, h *host) bool { return h.unused() })
	h = s.byName[name]
	if h == nil {
		h = &host{turns: run.NewTurns(s.limit, s.limit)}
		s.byName[name] = h
	}
	h.users++
	return h, time.Until(h.until)
}

func (s *hosts) leave(name hostName, h *host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.users--; h.unused() {
		delete(s.byName, name)
	}
}

// unused reports whether nothing is to be known of the host.
func (h *host) unused() bool { return h.users == 0 && time.Now().After(h.until) }

// answered looks whether a host asks to be left alone (RFC 9110, 10.2.3).
func (s *hosts) answered(name hostName, res *http.Response) {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return
	}
	after := res.Header.Get("Retry-After")
	pause, known := time.Duration(0), false
	if seconds, err := strconv.Atoi(after); err == nil && seconds >= 0 {
		pause, known = time.Duration(min(seconds, int(maxPause/time.Second)))*time.Second, true
	} else if at, err := http.ParseTime(after); err == nil {
		pause, known = min(time.Until(at), maxPause), true
	}
	if !known && res.StatusCode == http.StatusTooManyRequests {
		pause = 30 * time.Second
	}
	if pause <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.byName[name]; h != nil {
		h.until = time.Now().Add(pause)
	}
}
