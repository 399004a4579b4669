package git_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// azure serves a bundle's repository as Azure DevOps does: it refuses who does not ask for multi_ack. It notes what was asked
// for and what it said of that.
type azure struct {
	b *bundle
	// without has it not know multi_ack_detailed.
	without bool

	mu    sync.Mutex
	haves int
	acks  []string // the last word of each line: common, ready, continue, or the commit of the last
}

func (a *azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		if a.without {
			listed := httptest.NewRecorder()
			a.b.lab.ServeHTTP(listed, r)
			_, _ = w.Write(bytes.ReplaceAll(listed.Body.Bytes(), []byte("multi_ack_detailed"), []byte("something-detailed")))
			return
		}
		a.b.lab.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	if first, _, _ := bytes.Cut(body, []byte("\n")); !bytes.Contains(first, []byte("multi_ack")) || a.without == bytes.Contains(first, []byte("multi_ack_detailed")) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer := httptest.NewRecorder()
	a.b.lab.ServeHTTP(answer, r)
	said := answer.Body.Bytes()
	_, _ = w.Write(said)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.haves, a.acks = bytes.Count(body, []byte("have ")), nil
	for len(said) > 8 && (string(said[4:7]) == "ACK" || string(said[4:7]) == "NAK") {
		line, rest, _ := bytes.Cut(said, []byte("\n"))
		words := strings.Fields(string(line[4:]))
		a.acks, said = append(a.acks, words[len(words)-1]), rest
	}
}

// last is how many commits were named last, and how many lines with that word the answer had.
func (a *azure) last(word string) (haves, lines int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ack := range a.acks {
		if ack == word {
			lines++
		}
	}
	return a.haves, lines
}

func TestServersThatWantMultiACKAreFetchedFrom(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{"multi_ack": "continue", "multi_ack_detailed": "common"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			noise := make([]byte, 1<<20)
			_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // it never fails
			b.push(map[string]string{"a.yaml": "1", "large": string(noise)})
			server := &azure{b: b, without: name == "multi_ack"}
			u := b.upstream(flux.GitReference{Branch: "main"})
			u.URL = lab.TestSite(t, lab.SiteConfig{}, server).URL() + "/repo.git"
			if got := b.fetch(u); got["a.yaml"] != "1" {
				t.Fatalf("tree %v, want a.yaml: 1", got)
			}
			if haves, none := server.last("NAK"); haves != 0 || none != 1 {
				t.Errorf("the first fetch names %d commits, and the answer is %v", haves, server.acks)
			}
			before := b.counter("flotilla_source_received_bytes_total")
			for i := range 5 { // each of what is more to have than before
				b.push(map[string]string{"a.yaml": fmt.Sprint(i + 2)})
				if got := b.fetch(u); got["a.yaml"] != fmt.Sprint(i+2) {
					t.Fatalf("tree %v, want a.yaml: %d", got, i+2)
				}
				if haves, common := server.last(word); haves != i+1 || common < haves {
					t.Errorf("fetch %d names %d commits, and the answer is %v", i+2, haves, server.acks)
				}
			}
			if received := b.counter("flotilla_source_received_bytes_total") - before; received > 256<<10 {
				t.Errorf("five commits of one small file were %.0f bytes", received)
			}
			// What was fetched last is not there any more, and what is there has something in common with the rest.
			b.git("reset", "--hard", "--quiet", "HEAD~2")
			if err := b.repo.Write("a.yaml", "another"); err != nil {
				t.Fatal(err)
			}
			b.git("commit", "--quiet", "--all", "--message=another")
			b.git("push", "--quiet", "--force", "origin", "main")
			b.server("reflog", "expire", "--expire=now", "--all")
			b.server("gc", "--quiet", "--prune=now")
			if got := b.fetch(u); got["a.yaml"] != "another" {
				t.Fatalf("after a force push: tree %v", got)
			}
			if haves, common := server.last(word); haves != 6 || common == 0 || len(server.acks[len(server.acks)-1]) != 40 {
				t.Errorf("after a force push %d commits are named, and the answer is %v", haves, server.acks)
			}
		})
	}
}

func TestTooManyLinesBeforeObjectsAreRefused(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"lines":     "0031ACK " + strings.Repeat("a", 40) + "\n",
		"long ones": "f000ACK " + strings.Repeat("a", 0xf000-8),
	} {
		b := newBundle(t)
		b.push(map[string]string{"a.yaml": "1"})
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.URL = lab.TestSite(t, lab.SiteConfig{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				b.lab.ServeHTTP(w, r)
				return
			}
			for range 10_000 {
				if _, err := io.WriteString(w, line); err != nil {
					return
				}
			}
		})).URL() + "/repo.git"
		if err := b.try(u); source.KindOf(err) != source.KindServer || b.counter("flotilla_source_received_bytes_total") > 300<<10 {
			t.Errorf("%s: error %v after %.0f bytes", name, err, b.counter("flotilla_source_received_bytes_total"))
		}
	}
}
