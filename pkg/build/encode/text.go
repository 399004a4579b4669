package encode

import (
	"strings"
	"unicode/utf8"
)

// width is where the lines of texts are broken, at the next space.
const width = 80

// text writes a string: without quotes where it means the same, in quotes where not, and as lines of their own if it has
// some. Lines that it is broken into are indented so far. A key is never broken; anything else ends its line.
func (e *encoder) text(s string, indent int, key bool) bool {
	a, sure := analyze(s)
	if !sure {
		return false
	}
	if key {
		indent = -1
	}
	switch plain := resolves(s) == isString; {
	case a.lines && !a.special && !a.spaceBreak && !a.trailingSpace:
		return e.literal(s, indent)
	case a.special || a.lines || !plain:
		e.doubleQuoted(s, indent)
	case a.indicator || a.leadingSpace || a.trailingSpace:
		e.singleQuoted(s, indent)
	default:
		e.plain(s, indent)
	}
	if !key {
		e.endLine()
	}
	return true
}

// analysis is what decides on how a string is written.
type analysis struct {
	// lines: it has a line break. special: it has what only quotes can hold.
	lines, special bool
	// indicator: without quotes it would be no text.
	indicator                               bool
	leadingSpace, trailingSpace, spaceBreak bool
}

// analyze returns false for a string that is not the same after being written and read.
func analyze(s string) (analysis, bool) {
	var a analysis
	if s == "" {
		return a, true
	}
	a.leadingSpace, a.trailingSpace = s[0] == ' ', s[len(s)-1] == ' '
	a.indicator = strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...")
	switch s[0] {
	case '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`':
		a.indicator = true
	case '?', ':', '-':
		a.indicator = a.indicator || len(s) == 1 || isBlank(s[1])
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\n':
			a.lines = true
			a.spaceBreak = a.spaceBreak || i > 0 && s[i-1] == ' '
		case c == '\t':
			a.special = true
		case c == ':':
			a.indicator = a.indicator || i > 0 && (i+1 == len(s) || isBlank(s[i+1]))
		case c == '#':
			a.indicator = a.indicator || i > 0 && isWhite(s[i-1])
		case c >= ' ' && c <= '~':
		case c < utf8.RuneSelf: // a control character
			return a, false
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if !isText(r) {
				return a, false
			}
			a.special = a.special || size == utf8.UTFMax // which only kustomize's last writing takes for unprintable
			i += size - 1
		}
	}
	return a, true
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
func isWhite(c byte) bool { return isBlank(c) || c == '\n' }

// isText reports whether the rune beyond ASCII is neither a control character, nor one that breaks a line, nor none at
// all.
func isText(r rune) bool {
	switch r {
	case utf8.RuneError, 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
		return false
	}
	return r >= 0xa0
}

// breaker counts columns while a text is written and breaks its lines.
type breaker struct {
	*encoder
	indent, column int
	spaces         bool
}

func (e *encoder) breaker(indent int) breaker {
	return breaker{encoder: e, indent: indent, column: len(e.out) - e.line} // so far there was ASCII only
}

// full reports whether a space may be made a line break here, after what is not one.
func (b *breaker) full() bool { return b.indent >= 0 && !b.spaces && b.column > width }

// wrap begins the next line of the text.
func (b *breaker) wrap() {
	b.endLine()
	b.begin(b.indent)
	b.column = b.indent
}

func (b *breaker) put(c byte) {
	b.out = append(b.out, c)
	if c < utf8.RuneSelf || utf8.RuneStart(c) {
		b.column++
	}
	b.spaces = c == ' '
}

func (e *encoder) plain(s string, indent int) {
	b := e.breaker(indent)
	if indent < 0 || b.column+len(s) <= width {
		e.out = append(e.out, s...)
		return
	}
	for i := range len(s) {
		if s[i] == ' ' && b.full() && s[i+1] != ' ' { // it does not end with a space
			b.wrap()
			b.spaces = true
			continue
		}
		b.put(s[i])
	}
}

func (e *encoder) singleQuoted(s string, indent int) {
	e.out = append(e.out, '\'')
	b := e.breaker(indent)
	for i := range len(s) {
		if s[i] == ' ' && b.full() && i > 0 && i < len(s)-1 && s[i+1] != ' ' {
			b.wrap()
			b.spaces = true
			continue
		}
		if s[i] == '\'' {
			b.put('\'')
		}
		b.put(s[i])
	}
	e.out = append(e.out, '\'')
}

func (e *encoder) doubleQuoted(s string, indent int) {
	e.out = append(e.out, '"')
	b := e.breaker(indent)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.escape(c)
		case c == '\n':
			b.escape('n')
		case c == '\t':
			b.escape('t')
		case c >= 0xf0:
			r, size := utf8.DecodeRuneInString(s[i:])
			b.escape('U')
			for shift := 28; shift >= 0; shift -= 4 {
				b.put("0123456789ABCDEF"[r>>shift&0xf])
			}
			i += size - 1
		case c == ' ' && b.full() && i > 0 && i < len(s)-1:
			b.wrap()
			if s[i+1] == ' ' {
				b.put('\\')
			}
			b.spaces = true
		default:
			b.put(c)
		}
	}
	e.out = append(e.out, '"')
}

func (b *breaker) escape(c byte) {
	b.put('\\')
	b.put(c)
}

// literal writes the lines of a text that neither begins nor ends with white space but for line breaks at the end.
func (e *encoder) literal(s string, indent int) bool {
	if indent < 0 || isWhite(s[0]) {
		return false
	}
	e.out = append(e.out, '|')
	switch body := strings.TrimRight(s, "\n"); len(s) - len(body) {
	case 0:
		e.out = append(e.out, '-')
	case 1:
	default:
		e.out = append(e.out, '+')
	}
	e.endLine()
	for line := range strings.Lines(s) {
		if line != "\n" {
			e.begin(indent)
		}
		e.out = append(e.out, strings.TrimSuffix(line, "\n")...)
		e.endLine()
	}
	return true
}
