package main

import (
	"strings"
	"testing"
)

func TestStreamsAreSplitIntoTheirDocuments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       []string // "line:text"
	}{
		{"one", "a: 1\n", []string{"1:a: 1"}},
		{"separators and comments", "# head\n---\n\n---\na: 1\n--- # note\nb: 2\n...\n---\n", []string{"5:a: 1", "7:b: 2\n..."}},
		{"a separator in a text", "a: |\n  ---\n  x\n---\nb: 1\n", []string{"1:a: |\n  ---\n  x", "5:b: 1"}},
		{"dashes that are none", "a:\n---b\n", []string{"1:a:\n---b"}},
		{"content behind a separator", "--- {a: 1}\n--- {b: 2}\n", []string{"1:{a: 1}", "2:{b: 2}"}},
		{"windows", "\xef\xbb\xbfa: 1\r\n---\r\nb: 2\r\n", []string{"1:a: 1", "3:b: 2"}},
		{"JSON objects", "{\"a\": 1}\n{\n\"b\": 2}", []string{"1:{\"a\": 1}", "2:{\n\"b\": 2}"}},
		{"YAML that begins as JSON", "{a: 1}\n---\nb: 2\n", []string{"1:{a: 1}", "3:b: 2"}},
		{"nothing", "# nothing\n\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for i, p := range split([]byte(test.text)) {
				if p.number != i+1 {
					t.Errorf("document %d has number %d", i+1, p.number)
				}
				got = append(got, strings.TrimSpace(string(rune('0'+p.line))+":"+string(p.text)))
			}
			if strings.Join(got, "\n#\n") != strings.Join(test.want, "\n#\n") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
