package fleet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDigits bounds a number in values, as it is written out in full: a database does that, and makes a few bytes with an
// exponent some hundred thousand.
const maxDigits = 40

// ValidateValues checks that the values at a path are a mapping, or not given, and that a database keeps them as they are.
// size is how many bytes they have there.
func ValidateValues(fields *Fields, at string, values json.RawMessage) (size int) {
	text := bytes.TrimSpace(values)
	if len(text) == 0 || string(text) == "null" {
		return 0
	}
	decoded, err := decodeValues(text)
	if err != nil || decoded == nil {
		fields.Refuse(at, "is not a mapping")
		return 0
	}
	// A character that was none is this one when it is decoded.
	v := valuesCheck{fields: fields, replaced: !bytes.ContainsRune(text, utf8.RuneError)}
	v.check(at, decoded)
	return len(text) + v.grown
}

type valuesCheck struct {
	fields *Fields
	// grown is how much longer the numbers are, written out.
	grown int
	// replaced says that a U+FFFD in a text stands for what is no character.
	replaced bool
}

func (v *valuesCheck) check(at string, value any) {
	switch value := value.(type) {
	case json.Number:
		digits := digitsOf(value.String())
		v.grown += max(digits-len(value), 0)
		if digits > maxDigits {
			v.fields.Refuse(at, "the number %s has more than %d digits, written out in full: quote it, if a text is meant", shortened(value.String()), maxDigits)
		}
	case string:
		v.text(at, value)
	case []any:
		for i, inner := range value {
			v.check(fmt.Sprintf("%s[%d]", at, i), inner)
		}
	case map[string]any:
		for key, inner := range value {
			below := at + "." + shortened(strconv.Quote(key))
			if plain := strings.Trim(strconv.Quote(key), `"`); plain == key {
				below = at + "." + shortened(key)
			}
			v.text(below, key)
			v.check(below, inner)
		}
	}
}

func (v *valuesCheck) text(at, text string) {
	switch {
	case strings.ContainsRune(text, 0):
		v.fields.Refuse(at, "has the character NUL, which is not allowed")
	case v.replaced && strings.ContainsRune(text, utf8.RuneError):
		v.fields.Refuse(at, "has what is no character: invalid UTF-8, or half a surrogate pair")
	}
}

// digitsOf is how many a number of JSON has at most, written out in full.
func digitsOf(number string) int {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	if exponent == "" {
		return len(mantissa)
	}
	power, err := strconv.Atoi(exponent)
	if err != nil {
		return maxDigits + 1 // far beyond
	}
	return len(mantissa) + max(power, -power)
}

// shortened is the beginning of a text for people.
func shortened(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
