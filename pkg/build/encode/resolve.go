package encode

import (
	"strconv"
	"strings"
	"time"
)

// resolution is what a text means that stands without quotes, tag or style.
type resolution int

const (
	isString resolution = iota
	isBool
	// isOldBool is a bool by YAML 1.1 only (yes, on): a string in kustomize, that has to be printed in quotes.
	isOldBool
	isNull
	// isNumber is a number, however odd its notation, or looks like one to YAML 1.1.
	isNumber
	isTime
)

// resolves says what a text without quotes is taken for.
func resolves(s string) resolution {
	if s == "" {
		return isNull
	}
	switch c := s[0]; {
	case isDigit(c):
		return resolvesNumber(s)
	case c == '+' || c == '-':
		if s[1:] == ".inf" || s[1:] == ".Inf" || s[1:] == ".INF" {
			return isNumber
		}
		return resolvesNumber(s)
	case c == '.':
		switch s {
		case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF":
			return isNumber
		}
		if len(s) == 1 || !isDigit(s[1]) {
			return isString
		}
		if _, err := strconv.ParseFloat(s, 64); err == nil {
			return isNumber
		}
		return isString
	}
	if len(s) > len("false") {
		return isString
	}
	switch s {
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return isBool
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return isOldBool
	case "~", "null", "Null", "NULL":
		return isNull
	}
	return isString
}

// plainString reports whether a text without quotes is a string on every part of kustomize's way. YAML 1.2 has octal
// numbers that its last writing does not know ("0o-7").
func plainString(s string) bool {
	return resolves(s) == isString && !(strings.Contains(s, "0o") && strings.Trim(s, "+-_o01234567") == "")
}

// resolvesNumber looks at a text that begins as a number does.
func resolvesNumber(s string) resolution {
	end := 0
	if !isDigit(s[0]) {
		end = 1
	}
	for end < len(s) && (isDigit(s[end]) || s[end] == '_') {
		end++
	}
	if end == len(s) {
		if strings.ContainsAny(s, "0123456789") {
			return isNumber
		}
		return isString
	}
	switch s[end] {
	case '.', 'e', 'E', 'x', 'X', 'o', 'O', 'b', 'B':
		if isNumeral(strings.ReplaceAll(s, "_", "")) {
			return isNumber
		}
	case '-':
		if end == 4 && isTimestamp(s) {
			return isTime
		}
	}
	if strings.IndexByte(s, ':') >= 0 && isSexagesimal(s) {
		return isNumber
	}
	return isString
}

func isNumeral(s string) bool {
	if isDecimal(s) {
		_, err := strconv.ParseFloat(s, 64)
		return err == nil // it may be too large for one
	}
	if binary, found := strings.CutPrefix(s, "0b"); found { // "0b-1" is one
		if _, err := strconv.ParseInt(binary, 2, 64); err == nil {
			return true
		}
	}
	digits := strings.TrimLeft(s, "+-")
	if len(digits) < 3 || digits[0] != '0' || isDigit(digits[1]) {
		return false
	}
	if _, err := strconv.ParseInt(s, 0, 64); err == nil {
		return true
	}
	_, err := strconv.ParseUint(s, 0, 64)
	return err == nil
}

// isDecimal: [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
func isDecimal(s string) bool {
	rest := skipSign(s)
	whole := digitsOf(rest)
	rest = rest[whole:]
	if rest != "" && rest[0] == '.' {
		fraction := digitsOf(rest[1:])
		if whole+fraction == 0 {
			return false
		}
		rest = rest[1+fraction:]
	} else if whole == 0 {
		return false
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	exponent := skipSign(rest[1:])
	return exponent != "" && digitsOf(exponent) == len(exponent)
}

// isSexagesimal: [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
func isSexagesimal(s string) bool {
	whole, rest, found := strings.Cut(skipSign(s), ":")
	if !found || whole == "" || !isDigit(whole[0]) || strings.Trim(whole, "0123456789_") != "" {
		return false
	}
	rest, fraction, _ := strings.Cut(rest, ".")
	if strings.Trim(fraction, "0123456789_") != "" {
		return false
	}
	for part := range strings.SplitSeq(rest, ":") {
		switch {
		case len(part) == 1 && isDigit(part[0]):
		case len(part) == 2 && part[0] >= '0' && part[0] <= '5' && isDigit(part[1]):
		default:
			return false
		}
	}
	return true
}

func isTimestamp(s string) bool {
	for _, layout := range []string{
		"2006-1-2T15:4:5.999999999Z07:00", "2006-1-2t15:4:5.999999999Z07:00", "2006-1-2 15:4:5.999999999", "2006-1-2",
	} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}

func skipSign(s string) string {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[1:]
	}
	return s
}

func digitsOf(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}
