package flux

import "flotilla.dev/flotilla/pkg/fleet"

// Duration is a length of time as Flux writes it: "90s", "1h30m", "500ms".
type Duration = fleet.Duration
