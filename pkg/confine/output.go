package confine

import (
	"bufio"
	"io"
	"strings"
	"sync"
)

// Bounds of what is kept of what a process prints: longer lines are cut, and more lines dropped.
const (
	maxLine  = 512
	maxLines = 64
)

// Output is what a process prints while it has a job. It is safe for concurrent use.
type Output struct {
	// Line is given every line that is kept; nil: nobody is.
	Line func(text string)

	mu      sync.Mutex
	printed []string
}

// Begin forgets what was printed before.
func (o *Output) Begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.printed = nil
}

// Lines are those printed since Begin.
func (o *Output) Lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.printed
}

// Read takes what the process prints until it ends.
func (o *Output) Read(from io.Reader) {
	reader := bufio.NewReaderSize(from, maxLine)
	for {
		line, cut, err := reader.ReadLine()
		if text := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); text != "" {
			o.add(text)
		}
		for cut && err == nil {
			_, cut, err = reader.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

func (o *Output) add(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.printed) == maxLines {
		return
	}
	o.printed = append(o.printed, text)
	if o.Line != nil {
		o.Line(text)
	}
}
