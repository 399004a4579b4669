package oci

import "strings"

// challenges are the parameters of each scheme that WWW-Authenticate names (RFC 9110, 11.6.1), schemes and names in lower
// case.
func challenges(values []string) map[string]map[string]string {
	found := map[string]map[string]string{}
	for _, value := range values {
		var current map[string]string
		for value = strings.TrimLeft(value, " \t,"); value != ""; value = strings.TrimLeft(value, " \t,") {
			word, rest := token(value)
			if word == "" {
				break
			}
			if after := strings.TrimLeft(rest, " \t"); current != nil && strings.HasPrefix(after, "=") {
				var text string
				if text, value = quoted(strings.TrimLeft(after[1:], " \t")); text != "" {
					current[strings.ToLower(word)] = text
				}
				continue
			}
			current = map[string]string{}
			if _, there := found[strings.ToLower(word)]; !there {
				found[strings.ToLower(word)] = current
			}
			value = rest
		}
	}
	return found
}

// token takes a word off the front.
func token(text string) (word, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// quoted takes a word, or one in quotes, off the front.
func quoted(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		return token(text)
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return out.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}
