package flux

import (
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Duration is a length of time as Flux writes it: "90s", "1h30m", "500ms".
type Duration struct{ time.Duration }

var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`)

// MarshalJSON encodes d as Go prints durations.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a duration; its errors wrap fleet.ErrInvalid.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%w: %s is not a duration such as \"10m\"", fleet.ErrInvalid, data)
	}
	if !durationPattern.MatchString(text) {
		return fmt.Errorf("%w: %q is not a duration such as \"10m\" (units ms, s, m, h)", fleet.ErrInvalid, text)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%w: duration %q: %w", fleet.ErrInvalid, text, err)
	}
	d.Duration = parsed
	return nil
}
