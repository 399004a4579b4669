package encode

import (
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

var (
	blockStyles  = yaml.LiteralStyle | yaml.FoldedStyle
	quotedStyles = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle
)

// scalar writes the value of a node and ends its line.
func (e *encoder) scalar(node *yaml.Node, at place) bool {
	if node.Anchor != "" || commented(node) && (at.flow || !e.harmless(node)) {
		return false
	}
	switch {
	case node.Tag == yaml.NodeTagString, node.Tag == "" && node.Style != 0:
		return e.string(node, at)
	case node.Style != 0: // of a number, say, that is in quotes: kustomize makes it a string
		return false
	}
	switch value, is := node.Value, resolves(node.Value); {
	case is == isBool && (node.Tag == "" || node.Tag == yaml.NodeTagBool):
		e.out = strconv.AppendBool(e.out, value[0] == 't' || value[0] == 'T')
	case is == isNull && (node.Tag == "" || node.Tag == yaml.NodeTagNull):
		if value == "" && at.flow { // kustomize makes it a string
			return false
		}
		e.out = append(e.out, "null"...)
	case is == isNumber && (node.Tag == "" || node.Tag == yaml.NodeTagInt) && isCanonicalInt(value),
		is == isNumber && (node.Tag == "" || node.Tag == yaml.NodeTagFloat) && isCanonicalFloat(value):
		e.out = append(e.out, value...)
	case node.Tag == "" && (is == isOldBool || plainString(value)):
		return e.string(node, at)
	default:
		return false
	}
	e.endLine()
	return true
}

// string writes a node whose value is a string for certain.
func (e *encoder) string(node *yaml.Node, at place) bool {
	switch node.Style {
	case 0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle:
	default:
		return false
	}
	value := node.Value
	block := node.Style&blockStyles != 0
	if lines := strings.IndexByte(value, '\n'); lines >= 0 || block {
		if value != "" && (value[0] == ' ' || value[0] == '\n' || value[0] == '\t') || commented(node) {
			return false
		}
		e.kept = e.kept || strings.HasSuffix(value, "\n\n")
		// Kustomize's first writing does not always read as it was where lines are folded.
		if node.Style == yaml.FoldedStyle && lines >= 0 && lines < len(value)-1 {
			return false
		}
	}
	return e.text(value, at.indent+2, false)
}

// isCanonicalInt reports whether the number reads and prints as it stands.
func isCanonicalInt(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "0" {
		return s == "0"
	}
	if digits == "" || len(digits) > maxDigits || digits[0] == '0' {
		return false
	}
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return false
		}
	}
	return true
}

// isCanonicalFloat reports whether the number reads and prints as it stands. One without a fraction would become an
// integer.
func isCanonicalFloat(s string) bool {
	if !strings.Contains(s, ".") || strings.ContainsAny(s, "eE") {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && strconv.FormatFloat(f, 'g', -1, 64) == s
}
