package fleet

import (
	"strings"
	"time"
)

// RequestAt is the text of a request for one cluster, made at a time while own was the App's request for all of them:
// "own RFC 3339", or the time alone where own is empty. What own says is anybody's: it need be no time, or a past one.
func RequestAt(own string, at time.Time) string {
	text := at.UTC().Format(time.RFC3339Nano)
	if own == "" {
		return text
	}
	return own + " " + text
}

// CutRequest is own and the time that text was made of by RequestAt; text and zero: by that it was not.
func CutRequest(text string) (own string, at time.Time) {
	space := strings.LastIndexByte(text, ' ')
	at, err := time.Parse(time.RFC3339Nano, text[space+1:])
	if err != nil {
		return text, at
	}
	return text[:max(space, 0)], at
}

// NewerRequest is that of two requests which was made later: own, the App's, or in, that for one cluster. That own is not
// what it was when in was made says that it came after.
func NewerRequest(own, in string) string {
	before, at := CutRequest(in)
	if own == "" || !at.IsZero() && before == own {
		return in
	}
	return own
}
