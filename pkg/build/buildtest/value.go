package buildtest

import "strings"

// plainTexts are most of what people write; oddTexts are strings that YAML could take for something else, or has to
// escape, quote or break.
var (
	plainTexts = []string{"a", "value", "debug", "8080", "https://example.com/path?q=1&r=2", "some words with spaces", "user@example.com", "/etc/config/app.conf", "${VAR:-default}", "true"}
	oddTexts   = []string{
		"", " lead", "trail ", "007", "1e3", "0x1F", "0o14", "1_000", "+1", ".5", "1.0", "-0", "yes", "No", "on", "OFF", "null", "~", "Null", "true", "False", "2020-01-01", "2001-12-14t21:59:43.10-05:00",
		"1:30", "190:20:30", ".inf", "-.INF", ".NaN", "=", "<<", "!tag", "&anchor", "*alias", "- item", "? key", ": value", "a: b", "a #b", "# comment", "{a: b}", "[1, 2]", "%percent", "@at", "`tick`", "|", ">", "'single'", `"double"`, `back\slash`, "it's",
		"first\nsecond", "first\nsecond\n", "first\nsecond\n\n", "\nfirst\n", "  indented\nback\n", "tab\there", "trailing  \nspaces  \n", "windows\r\nlines\r\n", "ünïcødé", "日本語", "emoji 🎉🚀", "zero\u200bwidth", "nel\u0085x", "separator\u2028x", "\ufeffbom", "nbsp\u00a0x",
		"---", "--- a", "...", "key=value", "a\\nb", "\"", "'", "  ", "\n", "1,000", "12345678901234567890123", "0.1e-7", "1.", "0b101", "1e", "y", "n", "Y",
	}
	// rawTexts are those that kustomize itself fails at, in some places.
	rawTexts = []string{"\ttab", "bell\a", "escape\x1b[0m", "del\x7f", "\t\n x\n"}
	// oddScalars are written as they stand: not all are what they look like.
	oddScalars = []string{
		"0", "-1", "42", "2147483647", "2147483648", "9007199254740993", "9223372036854775807", "18446744073709551616", "0777", "0o777", "0x1F", "1_000", "1.0", "1.50", "-0.0", "1e3", "1E+5", "1e21", "0.1", ".5", "3.", "true", "False", "TRUE", "yes", "off", "null", "~", "Null",
		"2020-01-01", "2001-12-14t21:59:43.10-05:00", "1:30", "!!str 123", "!!binary aGVsbG8=", `"quoted"`, `'it''s'`, `"\u00e9\n"`, "plain words", "a:b", "=", "!custom x",
	}
)

// scalar is written into a file as it stands.
type scalar string

// text is a string.
func (d *drawer) text() string {
	switch {
	case d.chance(3):
		return strings.Repeat("a long line that goes on ", 5+d.upTo(20))
	case d.plan.odd && d.chance(1):
		return d.pick(rawTexts...)
	case d.plan.odd && d.chance(40), d.chance(4):
		return d.pick(oddTexts...)
	}
	return d.pick(plainTexts...)
}

// word is a string that may be a label's value or a name's part.
func (d *drawer) word() string {
	return d.pick("web", "api", "db", "prod", "v1", "blue", "1", "true", "x.y", "A_b")
}

// value is anything: of a custom resource's spec.
func (d *drawer) value(depth int) any {
	switch {
	case depth > 0 && d.chance(25):
		out := fields{}
		for range d.upTo(4) {
			out[d.key()] = d.value(depth - 1)
		}
		return out
	case depth > 0 && d.chance(25):
		out := []any{}
		for range d.upTo(4) {
			if value := d.value(depth - 1); value != nil { // kustomize refuses a list with nothing in a place
				out = append(out, value)
			}
		}
		return out
	case d.plan.odd && d.chance(30):
		return scalar(d.pick(oddScalars...))
	case d.chance(25):
		return d.upTo(5000) - 100
	case d.chance(15):
		return d.chance(50)
	case d.plan.odd && d.chance(5):
		return nil
	}
	return d.text()
}

func (d *drawer) key() string {
	if d.plan.odd && d.chance(10) {
		return d.pick("on", "y", "1", "1.5", "null", "a b", "x.y/z", "", "true", "-", "ключ", "#k", "a: b", "~", "long-"+strings.Repeat("k", 130), "multi\nline")
	}
	return d.pick("alpha", "beta", "gamma", "mode", "size", "items", "nested", "image", "name")
}

// pairs are labels or annotations.
func (d *drawer) pairs(most int) fields {
	out := fields{}
	for range 1 + d.upTo(most) {
		out[d.pick("app", "tier", "team", "app.kubernetes.io/name", "example.com/owner", "zone", "drop")] = d.word()
	}
	return out
}
