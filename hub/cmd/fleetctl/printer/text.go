package printer

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Age is the time since at as Kubernetes' clients print it: "45s", "12m", "3h", "41d"; "-" when at is zero.
func Age(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return Duration(now.Sub(at))
}

// Duration is d rounded down to what matters at its size.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute && int(d.Seconds())%60 != 0:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

var longHash = regexp.MustCompile(`(:|^)([0-9a-f]{8})[0-9a-f]{4,}$`)

// Revision shortens the hash of a revision or digest: "main@sha1:696f056d".
func Revision(revision string) string { return longHash.ReplaceAllString(revision, "$1$2") }

// Fold is text on one line, without what would steer a terminal.
func Fold(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}
