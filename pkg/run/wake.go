package run

// Wake tells a loop to look. It says "look", never "what": any number of calls of Set before the loop looks are one.
type Wake chan struct{}

// NewWake returns a Wake that is not set.
func NewWake() Wake { return make(Wake, 1) }

// Set wakes the loop; it never blocks.
func (w Wake) Set() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// C is what the loop selects on.
func (w Wake) C() <-chan struct{} { return w }
