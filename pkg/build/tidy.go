package build

import (
	"regexp"
	"strings"
)

// maxMessage bounds what kustomize's errors may grow to.
const maxMessage = 2 << 10

// Kustomize puts whole objects, patches and plugin configurations into some errors. They may hold secrets, and are cut.
var contents = []struct {
	at   *regexp.Regexp
	with string
}{
	{regexp.MustCompile("(?s) with config: `.*`"), ""},
	{regexp.MustCompile(`(?s)literal sources \[.*\]: .*|invalid literal source .*`), "invalid literal source, expected key=value"},
	{regexp.MustCompile(`(?s)\[patch: .*`), "a patch"},
	{regexp.MustCompile(`(?s)(one of patch and path|set at the same time|for JSON patch|for patch|patch appears to be empty|: decoding) ?(in|;)?(\\n|[ \n]).*`), "$1"},
	{regexp.MustCompile(`(?s) in (object |\[[0-9 ]+\]).*`), ""},
	{regexp.MustCompile(`(?s)((?:roleRef|apiGroup|kind) cannot be found in) .*`), "$1 an object"},
	{regexp.MustCompile(`(?s)(produces ID conflict|: node contents|for the following resource|content summary|is not a string|possible referrals|using alias|invalid document separator|---  self|unequal references)[: ].*`), "$1: ..."},
	{regexp.MustCompile(`(?s)( for value| invalid utf8 bytes|nodes unequal|doesn't equal|that could accept merge of|merge patch strategy for|unknown patch strategy).*`), "$1 ..."},
	{regexp.MustCompile(`line \[[0-9 ]+\]`), "a line"},
	{regexp.MustCompile("(?s)(cannot unmarshal !!?[^ ]*) `.*?` into"), "$1 into"},
	{regexp.MustCompile(`(?s)(map\[string\]interface ?\{\}|&resource\.Resource)\{.*`), "an object"},
}

// tidy makes a message of kustomize fit to be shown: paths are those of the source, and no contents of files.
func tidy(message string) string {
	for _, content := range contents {
		message = content.at.ReplaceAllString(message, content.with)
	}
	message = strings.ReplaceAll(message, root+"/", "")
	message = strings.ReplaceAll(message, root, ".")
	message = strings.TrimSpace(message)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "..."
	}
	return message
}
