package fleet

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Duration is a length of time as Flux and Kubernetes write it: "90s", "1h30m", "500ms".
type Duration struct {
	time.Duration
	// problem says why the text was not understood; validation reports it with the field's path.
	problem string
	hours   bool
}

var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// MarshalJSON encodes d as Go prints durations.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a duration. One that is not understood is no error here but in the validation of the spec, which
// knows its path.
func (d *Duration) UnmarshalJSON(data []byte) error {
	*d = Duration{}
	var text string
	if err := json.Unmarshal(data, &text); err != nil || !durationPattern.MatchString(text) {
		d.problem = fmt.Sprintf("%s is not a duration such as \"10m\" (units ms, s, m, h)", data)
		return nil
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		d.problem = fmt.Sprintf("%s is too long", data)
		return nil
	}
	d.Duration, d.hours = parsed, strings.Contains(text, "h")
	return nil
}

// Problem says why what was given is no duration; empty: it is one.
func (d Duration) Problem() string { return d.problem }

// InHours reports whether the unit h was in the text, which Flux allows in some fields only.
func (d Duration) InHours() bool { return d.hours }

// OrZero is the length, and none where d is nil.
func (d *Duration) OrZero() time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

// Lasting is the Duration of that length.
func Lasting(d time.Duration) *Duration { return &Duration{Duration: d} }
