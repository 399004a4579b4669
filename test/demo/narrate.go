package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// narrator writes lines that begin with the time since the demo began. It is safe for concurrent use.
type narrator struct {
	started time.Time

	mu  sync.Mutex
	out io.Writer
}

func newNarrator(out io.Writer) *narrator { return &narrator{started: time.Now(), out: out} }

// say writes a timed line.
func (n *narrator) say(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, "%7.1fs  %s\n", time.Since(n.started).Seconds(), fmt.Sprintf(format, args...))
}

// plain writes text as it is.
func (n *narrator) plain(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, format+"\n", args...)
}

// Write takes whole lines, as the lab's parts write them.
func (n *narrator) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		n.say("%s", strings.TrimRight(line, "\n"))
	}
	return len(text), nil
}
