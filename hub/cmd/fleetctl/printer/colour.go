package printer

// Meaning is what a condition's status, or a word like it, means to a person: its colour.
type Meaning int

const (
	// Plain has no colour.
	Plain Meaning = iota
	// Good is well when it is True, and not when it is False.
	Good
	// Bad is not well when it is True, and nothing to see when it is False.
	Bad
	// Notable is worth a look when it is True, or a Warning.
	Notable
)

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	normal = "\x1b[0m"
)

// colours of the words that have one.
var colours = map[Meaning]map[string]string{
	Good:    {"True": green, "False": red, "Unknown": yellow},
	Bad:     {"True": red, "Unknown": yellow},
	Notable: {"True": yellow, "Warning": yellow},
}

// Colour wraps a word in the colour that it has with that meaning.
func Colour(m Meaning, word string) string {
	colour := colours[m][word]
	if colour == "" {
		return word
	}
	return colour + word + normal
}
